"""Every view of a recipe fitted on a public data set and judged beside the figures in print, as a table.

    python examples/reproduce.py path/to/gowalla
    python examples/reproduce.py path/to/yelp2018 --json
    python examples/reproduce.py path/to/gowalla --full --views lightgcn-bpr --seeds 1 2 3 --out runs/gowalla

The folder has LightGCN's form, train.txt and test.txt. Its numbers of users, items and rows say which of the recipes in
examples/recipes is meant: a data set of the same name in another split is not taken for it. A row of the recipe is a
view with its settings. Each is fitted on all train rows and judged on the test rows, in a process of its own, and
written down in --out when it is finished; a call that was stopped goes on, also within the training of a row. Rows are
taken in the order of how long they are expected to take; those that would bring the whole beyond two hours are run with
--full alone.

The table goes to stdout as Markdown, or with --json as rows {"view", "recall@20", "ndcg@20", "seconds", "peak_mb"} that
hold seed, settings and published figures too; a row that has not been run has "not_run", which says why. Seconds are
those of fitting and judging; the peak is the resident memory of the whole process. Of a fusion, its views as it was
refitted with them are judged too, and a second table has paired tests of it against each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from graphrec.config import RunConfig, make_config, read_config
from graphrec.data import Dataset, Part, build_dataset
from graphrec.errors import GraphrecError
from graphrec.evaluation import Evaluation, compare, evaluate

RECIPES = Path(__file__).resolve().parent / "recipes"
MINUTES = 120  # more than that in total needs --full
METRICS = ("recall@20", "ndcg@20")
FUSION = "the fusion"  # among its views

Row = dict[str, Any]


def build(source: Path, graph: Path) -> Dataset:
    """The data set as a graph folder, which a later call finds."""
    if (graph / "dataset.json").exists():
        return Dataset.load(graph)
    return build_dataset(source, graph)


def sizes(data: Dataset) -> dict[str, int]:
    """What tells one data set and split from another."""
    test = int((data.interactions.part == Part.TEST).sum())
    return {"users": data.num_users, "items": data.num_items, "train": len(data.interactions) - test, "test": test}


def find_recipe(data: Dataset, files: list[Path]) -> dict[str, Any]:
    """The recipe for a data set of these sizes.

    Raises:
        SystemExit: there is none.
    """
    recipes = [tomllib.loads(file.read_text(encoding="utf-8")) for file in files]
    found = sizes(data)
    for recipe in recipes:
        if all(recipe[name] == size for name, size in found.items()):
            return recipe
    known = "\n".join(
        f"  {recipe['name']}: {recipe['users']} users, {recipe['train']} train rows" for recipe in recipes
    )
    raise SystemExit(
        f"no recipe is for a data set of {found}; there are:\n{known}\nwrite one and name it with --recipe"
    )


def choose(recipe: dict[str, Any], views: list[str] | None) -> list[Row]:
    """The rows that are asked for, the quickest first.

    Raises:
        SystemExit: a view is not in the recipe.
    """
    rows = {row["view"]: row for row in recipe["row"]}
    unknown = [view for view in views or [] if view not in rows]
    if unknown:
        raise SystemExit(f"the recipe has no view {', '.join(unknown)}; it has {', '.join(rows)}")
    return sorted((rows[view] for view in views or rows), key=lambda row: row["minutes"])


def configured(row: Row, seed: int) -> RunConfig:
    """The configuration of a row: a recipe of the package, or a model with options."""
    if "config" in row:
        return read_config(Path(row["config"]), refit=True, seed=seed)
    return make_config(row["model"], **{"patience": 0, **row.get("options", {})}, refit=True, seed=seed)


def fit_row(graph: Path, row: Row, seed: int, checkpoints: Path, per_user: Path) -> Row:
    """Fit one view on all train rows and judge it; run in a process of its own, whose peak memory is measured.

    Of a fusion, its views are judged too; ``per_user`` is written with what each user got by each.
    """
    from graphrec.bench.measure import peak_megabytes
    from graphrec.models import Fused, Model, views_of
    from graphrec.training import Epoch, fit_model, part_csr, settle_views

    here = []  # seconds of the epochs that this call trained; a stopped one may have trained more

    def heard(epoch: Epoch) -> None:
        here.append(epoch.seconds)
        done = f"{row['view']} seed {seed}: {epoch.phase} epoch {epoch.epoch}/{epoch.epochs}"
        print(f"{done}, loss {epoch.loss:.4f}, {epoch.seconds:.0f} s", file=sys.stderr, flush=True)

    begun, data = time.perf_counter(), Dataset.load(graph)
    config = settle_views(configured(row, seed), data)
    fitted = fit_model(data, config, checkpoints=checkpoints, on_epoch=heard)
    test = part_csr(data, Part.TEST)

    def judge(model: Model) -> Evaluation:
        return evaluate(model.score_block, train=model.graph.seen, test=test, ks=(20,))

    found = judge(fitted.model)
    earlier = float(fitted.history["seconds"].sum()) - sum(here)
    measured: Row = {"seconds": time.perf_counter() - begun + earlier, "peak_mb": peak_megabytes()}
    measured |= {"users": found.num_users, "epochs": fitted.epochs}
    if isinstance(fitted.model, Fused):
        assert fitted.fusion is not None
        views = {name: judge(view) for name, view in views_of(fitted.model).items()}
        measured["fusion"] = fitted.fusion.to_json()
        measured["views"] = {name: own_metrics(view) for name, view in views.items()}
        per_user.parent.mkdir(parents=True, exist_ok=True)
        everything = {FUSION: found, **views}
        pd.concat([own.per_user.assign(view=name) for name, own in everything.items()]).to_parquet(per_user)
    return own_metrics(found) | measured


def own_metrics(found: Evaluation) -> Row:
    """The two that the tables show."""
    return {metric: found.metrics[metric] for metric in METRICS}


class Record:
    """The finished rows, a line of JSON each; what another setting gave is not taken for this one's.

    Args:
        folder: holds results.jsonl, the checkpoints of what is unfinished, and the graph.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "results.jsonl"
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        self.rows = {line["key"]: line for line in map(json.loads, lines)}

    def finish(self, row: Row, seed: int) -> None:
        """Fit a row unless it is there already, and append it."""
        key = self.key(row, seed)
        if key in self.rows:
            return
        print(f"{row['view']} seed {seed}, about {row['minutes']:g} min …", file=sys.stderr, flush=True)
        checkpoints, per_user = self.folder / "checkpoints" / key, self.per_user(key)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            measured = pool.submit(fit_row, self.folder / "graph", row, seed, checkpoints, per_user).result()
        self.rows[key] = {"key": key, "view": row["view"], "seed": seed, **measured}
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(self.rows[key]) + "\n")

    def look_up(self, row: Row, seed: int) -> Row | None:
        """What was measured, if it was."""
        return self.rows.get(self.key(row, seed))

    def per_user(self, key: str) -> Path:
        """Where what each user got of a fusion and its views is kept."""
        return self.folder / "per_user" / f"{key}.parquet"

    @staticmethod
    def key(row: Row, seed: int) -> str:
        """Names a row by all that decides its result."""
        decides = json.dumps([row["model"], row.get("options", {}), seed], sort_keys=True)
        if "config" in row:
            decides += configured(row, seed).model_dump_json()
        return f"{row['view']}-{seed}-{hashlib.sha256(decides.encode()).hexdigest()[:8]}"


def run(rows: list[Row], seeds: list[int], full: bool, record: Record) -> Iterator[Row]:
    """Each row and seed with what was measured, or why nothing was."""
    minutes = 0.0
    for row in rows:
        for seed in seeds:
            minutes += row["minutes"]
            why = ""
            if minutes <= MINUTES or full:
                try:
                    record.finish(row, seed)
                except (GraphrecError, MemoryError, RuntimeError) as error:  # a process killed for memory, too
                    why = f"failed: {error}"
                    print(f"{row['view']} {why}", file=sys.stderr, flush=True)
            else:
                why = f"not run: about {row['minutes']:g} minutes, --full"
            settings = {name: row[name] for name in ("model", "config") if name in row} | row.get("options", {})
            told = {"settings": settings, "published": row.get("published"), "paper": row.get("paper")}
            measured = record.look_up(row, seed)
            yield {"view": row["view"], "seed": seed, **(measured or {"not_run": why}), **told}


def table(name: str, rows: list[Row]) -> str:
    """Markdown: a line a view, the mean over its seeds."""
    lines = [f"### {name}", "", "| view | recall@20 / NDCG@20 | published | seconds | peak MB | settings |"]
    lines.append("|---|---:|---|---:|---:|---|")
    for view in dict.fromkeys(row["view"] for row in rows):
        own = [row for row in rows if row["view"] == view]
        done = [row for row in own if "not_run" not in row]
        cells = [view, figures(done) if done else own[0]["not_run"], printed(own[0]["published"])]
        cells += [f"{mean(row['seconds'] for row in done):,.0f}" if done else "–"]
        peaks = [row["peak_mb"] for row in done if row["peak_mb"] is not None]
        cells += [f"{max(peaks):,.0f}" if peaks else "–", shown(own[0]["settings"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tests(rows: list[Row], record: Record) -> str:
    """Markdown: each fusion against each of its own views, paired by user, the values averaged over the seeds."""
    lines = ["| fusion | against its own | metric | fusion | view | p |", "|---|---|---|---:|---:|---:|"]
    done = [row for row in rows if "views" in row]
    for fusion in dict.fromkeys(row["view"] for row in done):
        own = [row for row in done if row["view"] == fusion]
        table = pd.concat(pd.read_parquet(record.per_user(row["key"])) for row in own)
        means = table.groupby(["view", "user_index"], as_index=False)[list(METRICS)].mean()
        by_view = dict(iter(means.groupby("view")))
        for view in own[0]["views"]:
            for metric in METRICS:
                p_value = compare(by_view[FUSION], by_view[view], metric)["p_value"]
                reached = " | ".join(f"{by_view[name][metric].mean():.4f}" for name in (FUSION, view))
                lines.append(f"| {fusion} | {view} | {metric} | {reached} | {p_value:.2g} |")
    return "\n".join(lines) if done else ""


def figures(done: list[Row]) -> str:
    """Both metrics, with their deviation where several seeds were run."""
    shown = []
    for metric in METRICS:
        values = [row[metric] for row in done]
        shown.append(f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else ""))
    return " / ".join(shown) + (f" ({len(done)} seeds)" if len(done) > 1 else "")


def printed(published: Row | None) -> str:
    """The published figures and where they stand."""
    return f"{published['recall']:.4f} / {published['ndcg']:.4f} ({published['source']})" if published else "–"


def shown(settings: Row) -> str:
    """Settings as the command line takes them, but for their dashes."""
    return ", ".join(str(value) if name == "model" else f"{name} {value}" for name, value in settings.items())


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with train.txt and test.txt")
    parser.add_argument("--views", nargs="+", metavar="VIEW", help="rows of the recipe (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--full", action="store_true", help="also what takes the whole beyond two hours")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for graph and results (runs/reproduce/NAME)")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="a recipe of your own")
    return parser.parse_args()


def main() -> None:
    """Build, run what is not there yet, print the table."""
    options = parse()
    out = options.out or Path("runs") / "reproduce" / options.folder.resolve().name
    try:
        data = build(options.folder, out / "graph")
    except GraphrecError as error:
        raise SystemExit(str(error)) from None
    recipe = find_recipe(data, [options.recipe] if options.recipe else sorted(RECIPES.glob("*.toml")))
    record = Record(out)
    rows = list(run(choose(recipe, options.views), options.seeds, options.full, record))
    tables = [table(recipe["name"], rows), tests(rows, record)]
    print(json.dumps(rows, indent=1) if options.json else "\n\n".join(filter(None, tables)))
    if any(row.get("not_run", "").startswith("failed") for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
