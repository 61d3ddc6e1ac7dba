"""What it is worth that newer items count more, on public sets whose test rows are the newest.

    python examples/benchmarks/recency.py DATA --out FOLDER

DATA holds a folder for each set of compare.toml that is named. Each view is trained once with the settings below; how
much newer items count is chosen for it on the select rows, its own choice (``graphrec train --minutes`` makes one for
all views). Then it is trained anew on all train rows and judged on the test rows, where all items count alike and as
chosen: two readings of them a view. Tables go to stdout, as Markdown.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compare_fits import Set, fit
from search_space import read_toml

from graphrec.config import make_config
from graphrec.data import Part
from graphrec.evaluation import Evaluation, compare, evaluate
from graphrec.models import Model, TrainedModel, build_model, model_class
from graphrec.models.base import ranges_of
from graphrec.models.recency import RecencySettings
from graphrec.training import part_csr

SETS = ("ml-latest-small", "grocery-rechorus", "yelp-seq")
VIEWS: dict[str, dict[str, Any]] = {
    "item_knn": {},
    "rp3beta": {"normalize": True},
    "slim": {},
    "spectral": {},
    "history": {"pooling": "mean", "temperature": 0.7, "dropout": 0.3},
    "lightgcn": {"layers": 1, "loss": "softmax", "temperature": 0.3, "l2": 1e-4},
}
TRAINING = {"width": 64, "epochs": 30, "patience": 3, "eval_every": 2, "batch_size": 1024, "seed": 1}
METRICS = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Row:
    """A view on a set: judged where all items count alike, and as chosen."""

    view: str
    recency: float
    alike: Evaluation
    chosen: Evaluation

    def cells(self) -> dict[str, Any]:
        """A line of the table."""
        tested = {metric: compare(self.chosen.per_user, self.alike.per_user, metric)["p_value"] for metric in METRICS}
        return {
            "view": self.view,
            "all alike": told(self.alike),
            "newer more": told(self.chosen),
            "ρ": f"{self.recency:g}",
            "p": " / ".join(f"{p:.1g}" for p in tested.values()),
        }


def told(found: Evaluation) -> str:
    """Recall@20 and NDCG@20."""
    return " / ".join(f"{found.metrics[metric]:.4f}".lstrip("0") for metric in METRICS)


def weighing(model: Model, recency: float) -> Model:
    """The same model with another recency."""
    twin = build_model(model.name, model.graph, {model.name: replace(model.settings, recency=recency)})
    twin.load_state_dict(model.state_dict())
    return twin.eval()


def judged(here: Set, model: Model, part: Part) -> Evaluation:
    """Lists of all items against the rows of a part."""
    return evaluate(model.score_block, train=model.graph.seen, test=part_csr(here.data, part), ks=(20,))


def run(here: Set, view: str) -> Row:
    """Train a view, choose on select rows, train it on all train rows and read the test rows."""
    trained = issubclass(model_class(view), TrainedModel)
    config = make_config(view, **VIEWS[view], **(TRAINING if trained else {"seed": 1}))
    first = fit(here, config).model
    reached = {
        recency: judged(here, weighing(first, recency), Part.SELECT).metrics["recall@20"]
        for recency in ranges_of(RecencySettings)["recency"].choices
    }
    recency = max(reached, key=lambda each: reached[each])
    final = fit(here, config.model_copy(update={"refit": True})).model
    alike, chosen = (judged(here, weighing(final, each), Part.TEST) for each in (0.0, recency))
    return Row(view, recency, alike, chosen)


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def main() -> None:
    """Print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with a folder for each set")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where graphs and trainings go")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS), metavar="VIEW")
    options = parser.parse_args()
    recipe = read_toml("compare.toml")
    for name in options.sets:
        here = Set(name, recipe["sets"][name], recipe["seed"], options.data / name, options.out / name)
        rows = []
        for view in options.views:
            rows.append(run(here, view).cells())
            print(name, *rows[-1].values(), file=sys.stderr, flush=True)
        print(f"\n### {name}\n", *markdown(rows), sep="\n")


if __name__ == "__main__":
    main()
