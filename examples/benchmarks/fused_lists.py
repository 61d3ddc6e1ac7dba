"""What a fusion of five views takes to rank all items for everybody, and to fit its weights: seconds and peak memory.

    python examples/benchmarks/fused_lists.py path/to/graph
    python examples/benchmarks/fused_lists.py path/to/graph --users 2048 --json

GRAPH is a folder that ``graphrec build`` wrote; the views stand on its fit rows. `spectral` has the settings of ChebyCF
on Gowalla, `lightgcn` and `gat` 64 numbers a vector; what those are does not change how long it takes, so they stay as
drawn. Fitting the views is not counted. Each view is ranked alone, then all together under drawn weights; "weights" is
fitting and judging them on the blend rows. "CPU" is the processor time of all threads, which says more where other
programs run.
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
from graphrec.graph import build_graph
from graphrec.models import EmbeddingModel, Fused, Model, build_model, make_settings, views_of
from graphrec.ranking import Ranking, rank, rank_vectors
from graphrec.training import fit_fusion, part_csr

VIEWS = ("spectral", "lightgcn", "gat", "rp3beta", "item_knn")
SETTINGS = {
    "spectral": {"order": 8, "flatness": 1.5, "ideal_weight": 0.2, "degree_power": 0.4, "ideal_degree_power": 0.4}
}
K = 20


def fit(folder: Path) -> Fused:
    """The fusion, under weights drawn at random."""
    graph = build_graph(Dataset.load(folder), (Part.FIT,))
    settings = {name: make_settings(name, SETTINGS.get(name, {})) for name in VIEWS}
    fused = build_model("fused", graph, settings | {"fused": make_settings("fused", {"views": VIEWS})})
    assert isinstance(fused, Fused)
    generator = torch.Generator().manual_seed(0)
    for view in fused.views.values():
        if isinstance(view, EmbeddingModel):
            view.reset(generator)
    fused.fit()
    fused.set_weights(0.1 * torch.randn(len(VIEWS), 5, generator=generator), torch.zeros(len(VIEWS)))
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


def rows(fused: Fused, users: torch.Tensor) -> list[dict[str, float | str]]:
    """What each view takes, then all together."""
    models = views_of(fused) | {"fused": fused}
    return [{"view": name} | measure(partial(lists, model, users)) for name, model in models.items()]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="folder that graphrec build wrote")
    parser.add_argument("--users", type=int, help="rank for that many, drawn at random (default: all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    fused, data = fit(options.graph), Dataset.load(options.graph)
    users = torch.randperm(fused.graph.num_users, generator=torch.Generator().manual_seed(0))[: options.users]
    rows(fused, users[:64])  # compiles
    table = rows(fused, users)
    table.append({"view": "weights"} | measure(partial(fit_fusion, fused, part_csr(data, (Part.BLEND,)), seed=0)))
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if options.json:
        print(json.dumps({"users": len(users), "threads": torch.get_num_threads(), "peak_mb": peak, "rows": table}))
        return
    print(f"{len(users):,} users, {torch.get_num_threads()} threads, at most {peak:,} MB, fitting included")
    for row in table:
        print("{view:10} {seconds:8.2f} s {cpu_s:8.2f} CPU s".format_map(row))


if __name__ == "__main__":
    main()
