"""AUC on labelled pairs, as KGCN, RippleNet and their successors report it: Last.FM and Book-Crossing with knowledge.

    python examples/benchmarks/clicks.py path/to/lastfm-kgcn --out FOLDER
    python examples/benchmarks/clicks.py path/to/book-crossing-kg --out FOLDER --views popularity gat --seeds 1 2 3 4 5

DATA holds ratings_final.txt, lines ``user item label``, and kg_final.txt. All rows, of both labels together, are split
at random into 60 % train, 20 % eval and 20 % test. Views see the label-1 rows of the train part and the knowledge, and
no label-0 row of any part. The label-1 rows of the eval part stop the training; the AUC over all eval rows, of both
labels, chooses the settings, on the split of the first seed. Each seed then has a split and a training of its own, and
the AUC over all its test rows is read once: the chance that a test row of label 1, of whatever user, has a higher score
than one of label 0.

Finished pieces stay in --out and are not run again. The table goes to stdout, as Markdown; results.json is in --out.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from search_space import Options, View, once, read_toml, read_views

from graphrec.data import Dataset, Part, read_dataset
from graphrec.data.integers import read_columns
from graphrec.errors import DataError
from graphrec.evaluation import pair_scores
from graphrec.evaluation.metrics import auc
from graphrec.files import write_text
from graphrec.models import Model
from graphrec.training import fit_model

SHARE = 0.2  # of all rows, for eval and again for test


def assign(rows: int, seed: int) -> np.ndarray:
    """FIT, SELECT or TEST for each labelled row, uint8: 20 % of all are eval and 20 % test, rounded down.

    >>> np.bincount(assign(11, seed=1), minlength=4).tolist()
    [7, 2, 0, 2]
    """
    order = np.random.default_rng(seed).permutation(rows)
    held = int(SHARE * rows)
    parts = np.full(rows, Part.FIT, dtype=np.uint8)
    parts[order[:held]] = Part.SELECT
    parts[order[held : 2 * held]] = Part.TEST
    return parts


class Labelled:
    """A folder of labelled pairs.

    Args:
        folder: with ratings_final.txt.

    Raises:
        DataError: a pair is there twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = read_columns(folder / "ratings_final.txt", 3)
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        if len(np.unique(rows[:, :2], axis=0)) < len(rows):
            raise DataError(f"{folder / 'ratings_final.txt'}: a pair has two rows")
        self.user = torch.from_numpy(self.whole.users.index(rows[:, 0]).astype(np.int64))
        self.item = torch.from_numpy(self.whole.items.index(rows[:, 1]).astype(np.int64))
        self.label = torch.from_numpy(rows[:, 2] == 1)

    @cached_property
    def whole(self) -> Dataset:
        """The data set with graphrec's own split; label-0 rows are no interactions."""
        return read_dataset(self.folder, split="random")

    def split(self, seed: int) -> tuple[Dataset, np.ndarray]:
        """The data set with the parts of one seed, and those of all rows."""
        parts = assign(len(self.label), seed)
        interactions = replace(self.whole.interactions, part=parts[self.label.numpy()])
        return replace(self.whole, interactions=interactions), parts

    def judge(self, model: Model, rows: np.ndarray) -> float:
        """AUC over some of the rows, those where ``rows`` is true."""
        kept = torch.from_numpy(rows)
        size = self.whole.num_items
        scores = pair_scores(model.score_block, self.user[kept], self.item[kept], num_items=size)
        return auc(scores, self.label[kept])


def fit(data: Dataset, view: View, options: Options, training: Options, seed: int) -> tuple[Model, int]:
    """A fitted view and the epochs it chose, 0 for a closed form."""
    fitted = fit_model(data, view.config(data, options, training, seed=seed))
    return fitted.model, fitted.epochs.get(view.model, 0)


def choose(labelled: Labelled, view: View, trials: int, seed: int, folder: Path, training: Options) -> Options:
    """The settings with the best AUC over the eval rows."""
    data, parts = labelled.split(seed)

    def attempt(options: Options) -> Options:
        model, epochs = fit(data, view, options, training, seed)
        return {"epochs": epochs, "eval": labelled.judge(model, parts == Part.SELECT)}

    tried = []
    for number, options in enumerate(view.draw(trials, seed)):
        file, told = folder / f"trial-{number:02}.json", {"seed": seed, "options": options, "training": training}
        tried.append(once(file, told, lambda own=options: attempt(own)))
    return max(tried, key=lambda trial: trial["eval"])["options"]


def judge(labelled: Labelled, view: View, options: Options, seed: int, training: Options) -> Options:
    """Fit on one seed's train part and read its test part."""
    data, parts = labelled.split(seed)
    model, epochs = fit(data, view, options, training, seed)
    found = {name: labelled.judge(model, parts == part) for name, part in (("eval", Part.SELECT), ("test", Part.TEST))}
    return {"epochs": epochs} | found


def run(labelled: Labelled, view: View, options: argparse.Namespace, training: Options) -> Options:
    """All trials and seeds of one view."""
    print(view.name, "…", file=sys.stderr, flush=True)
    folder = options.out / view.name
    chosen = choose(labelled, view, options.trials, options.seeds[0], folder, training)
    seeds = []
    for seed in options.seeds:
        file, told = folder / f"seed-{seed}.json", {"seed": seed, "options": chosen, "training": training}
        seeds.append(once(file, told, lambda seed=seed: judge(labelled, view, chosen, seed, training)))
    return {"view": view.name, "options": chosen, "seeds": seeds}


def table(rows: list[Options], published: Options) -> str:
    """Markdown, ours and what is in print."""
    lines = ["| view | AUC, test | settings |", "|---|---:|---|"]
    for row in rows:
        values = [seed["test"] for seed in row["seeds"]]
        spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
        settings = ", ".join(f"{name} {value}" for name, value in row["options"].items()) or "–"
        lines.append(f"| {row['view']} | {mean(values):.4f}{spread} | {settings} |")
    lines += [f"| {name}, published | {found['auc']:.3f} | {found['source']} |" for name, found in published.items()]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with ratings_final.txt")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--views", nargs="+", metavar="VIEW", help="of views.toml (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], metavar="N")
    parser.add_argument("--trials", type=int, default=8, metavar="N", help="settings tried of a view, at most")
    return parser.parse_args()


def main() -> None:
    """Choose, train and judge each view; print the table."""
    options, recipe = parse(), read_toml("clicks.toml")
    labelled, rows = Labelled(options.data), []
    for view in read_views(options.views):
        why = "no part is left to blend on" if view.is_fusion else view.obstacle(labelled.whole)
        if why:
            print(f"{view.name}: left out, {why}", file=sys.stderr)
        else:
            rows.append(run(labelled, view, options, recipe["training"]))
    published = recipe["published"].get(options.data.resolve().name, {})
    write_text(options.out / "results.json", json.dumps({"rows": rows, "published": published}, indent=1) + "\n")
    print(table(rows, published))


if __name__ == "__main__":
    main()
