"""What a fusion of five views takes to rank all items for everybody, and to fit its weights: seconds and peak memory.

    python examples/benchmarks/fused_lists.py path/to/graph
    python examples/benchmarks/fused_lists.py path/to/graph --users 2048 --json

GRAPH is a folder that ``graphrec build`` wrote; the views stand on its fit rows. `spectral` has the settings of ChebyCF
on Gowalla, `lightgcn` and `gat` 64 numbers a vector; what those are does not change how long it takes, so they stay as
drawn. Fitting the views is not counted. Each view is ranked alone, then five together under drawn weights: "fused" with
`spectral`, "by tables" with `spectral_knn` in its place. "weights" is fitting and judging those of "fused" on the blend
rows. "top" is the best 100 of one view, given its scores: what a fusion of each view's best items would need of every
view, where "weighing" is what the fusion of five does with all scores. "CPU" is the processor time of all threads,
which says more where other programs run.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from graphrec.data import Dataset, Part
from graphrec.graph import HeteroGraph, build_graph
from graphrec.layers import CONTEXTS, combine
from graphrec.models import EmbeddingModel, Fused, Model, build_model, make_settings
from graphrec.models.calibration import rows_of
from graphrec.models.fused import people_at_once
from graphrec.ranking import Ranking, rank, rank_vectors, topk_rows
from graphrec.training import fit_fusion, part_csr

OTHERS = ("lightgcn", "gat", "rp3beta", "item_knn")
FUSIONS = {"fused": ("spectral", *OTHERS), "by tables": ("spectral_knn", *OTHERS)}
CHEBY_CF = {"order": 8, "flatness": 1.5, "ideal_weight": 0.2, "degree_power": 0.4, "ideal_degree_power": 0.4}
SETTINGS = {"spectral": CHEBY_CF, "spectral_knn": CHEBY_CF | {"neighbours": 400}}
K, CANDIDATES = 20, 100


def fit_views(graph: HeteroGraph) -> dict[str, Model]:
    """The views by name."""
    generator = torch.Generator().manual_seed(0)
    models: dict[str, Model] = {}
    for name in ("spectral", "spectral_knn", *OTHERS):
        models[name] = view = build_model(name, graph, {name: make_settings(name, SETTINGS.get(name, {}))})
        if isinstance(view, EmbeddingModel):
            view.reset(generator)
        view.fit()
        view.eval()
    return models


def fuse(views: dict[str, Model]) -> Fused:
    """A fusion under weights drawn at random."""
    settings, graph = make_settings("fused", {"views": tuple(views)}), next(iter(views.values())).graph
    fused = Fused(graph, settings, views)
    generator = torch.Generator().manual_seed(0)
    fused.set_weights(0.1 * torch.randn(len(views), len(CONTEXTS), generator=generator), torch.zeros(len(views)))
    return fused.eval()


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock, and of all threads."""
    clock, core = time.perf_counter(), time.process_time()
    work()
    return {"seconds": round(time.perf_counter() - clock, 2), "cpu_s": round(time.process_time() - core, 2)}


def lists(model: Model, users: torch.Tensor) -> Ranking:
    """The best items of some users, by the quickest exact way."""
    seen, vectors = model.graph.seen, model.vectors()
    if vectors is None:
        return rank(model.score_block, users, K, num_items=seen.num_cols, seen=seen)
    return rank_vectors(vectors[0], vectors[1], users, K, seen=seen)


def weighing(fused: Fused, users: torch.Tensor) -> list[dict[str, float | str]]:
    """All scores of the views under the weights, beside the best of one view; scores are those of a few people."""
    few = users[: people_at_once(fused.graph.num_items)]
    history = rows_of(fused.graph.seen, few)
    scores = fused.standardized(history, few)
    unit = torch.ones(scores.shape[:2])
    inputs = (scores, 0 * unit, unit, fused.attention, fused.log_scale.exp(), *fused.degree_contexts(history.degree))
    count = max(1, len(users) // len(few))

    def repeat(work: Callable[[], object]) -> None:
        for _ in range(count):
            work()

    works = {"weighing": partial(combine, *inputs), "top": partial(topk_rows, scores[0], CANDIDATES)}
    with torch.no_grad():
        return [{"view": name} | measure(partial(repeat, work)) for name, work in works.items()]


def rows(views: dict[str, Model], fusions: dict[str, Fused], users: torch.Tensor) -> list[dict[str, float | str]]:
    """What each model takes for its lists, and what a fusion does with the scores."""
    table = [{"view": name} | measure(partial(lists, model, users)) for name, model in (views | fusions).items()]
    return table + weighing(fusions["fused"], users)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="folder that graphrec build wrote")
    parser.add_argument("--users", type=int, help="rank for that many, drawn at random (default: all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    data = Dataset.load(options.graph)
    graph = build_graph(data, (Part.FIT,))
    views = fit_views(graph)
    fusions = {name: fuse({view: views[view] for view in names}) for name, names in FUSIONS.items()}
    users = torch.randperm(graph.num_users, generator=torch.Generator().manual_seed(0))[: options.users]
    rows(views, fusions, users[:64])  # compiles
    table = rows(views, fusions, users)
    blend = part_csr(data, Part.BLEND)
    table.append({"view": "weights"} | measure(partial(fit_fusion, fusions["fused"], blend, seed=0)))
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if options.json:
        print(json.dumps({"users": len(users), "threads": torch.get_num_threads(), "peak_mb": peak, "rows": table}))
        return
    print(f"{len(users):,} users, {torch.get_num_threads()} threads, at most {peak:,} MB, fitting included")
    for row in table:
        print("{view:12} {seconds:8.2f} s {cpu_s:8.2f} CPU s".format_map(row))


if __name__ == "__main__":
    main()
