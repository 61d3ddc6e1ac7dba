"""Every view and both baselines on public data sets, as a table; by the commands that anyone would type.

    python examples/benchmarks/accuracy.py DATA --out runs/accuracy

DATA holds a folder for each set (see datasets/README.md); the sets bookshop-1, bookshop-2, … are generated with that
seed and trained as ``graphrec demo`` trains. A run that is finished is not trained again, so the script
goes on where it was stopped. Each command is printed before it runs; the table goes to stdout, as Markdown.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphrec.cli.demo import TRAINING as DEMO

HERE = Path(__file__).parent
MODELS = ("lightgcn", "gat", "fused")
SETS = ("ml-latest-small", "lastfm", "lastfm-kgcn", "amazon-beauty-kg")
TRAINING = ["--refit", "--seed=1"]
BUDGET = {"amazon-beauty-kg": ["--epochs=30", "--batch-size=4096"]}  # 202,000 nodes, a million triples


def build_arguments(name: str, data: Path, work: Path) -> list[str]:
    """What ``graphrec build`` needs for one set."""
    folder = data / name
    if name == "ml-latest-small":
        columns = ["--column=user_id=userId", "--column=item_id=movieId"]
        return [str(folder / "ratings.csv"), f"--items={folder / 'movies.csv'}", *columns, "--split=time"]
    if name == "lastfm":
        run([sys.executable, str(HERE.parents[1] / "datasets" / "prepare_lastfm.py"), str(folder), str(work / name)])
        given = [f"--test={folder / 'test1.txt'}", "--header=user_id,item_id,weight", "--delimiter=tab"]
        return [str(folder / "data1.txt"), *given, f"--knowledge={work / name / 'knowledge.csv'}"]
    if name.startswith("bookshop-"):
        tables = work / name
        run([sys.executable, "-m", "graphrec.data.synthetic", str(tables), "--seed", name.removeprefix("bookshop-")])
        described = [f"--{table}={tables / table}.csv" for table in ("knowledge", "items", "users")]
        return [str(tables / "interactions.csv"), *described, "--split=last"]
    return [str(folder)]


def run(command: Sequence[str]) -> str:
    """Print a command, run it, and return what it wrote to stdout."""
    print("$", shlex.join(command), file=sys.stderr, flush=True)
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def judge(name: str, data: Path, out: Path) -> dict[str, Any]:
    """Build, train and evaluate on one set; returns what ``graphrec evaluate --json`` prints."""
    graph = out / name / "graph"
    if not graph.exists():
        with tempfile.TemporaryDirectory() as work:
            run(["graphrec", "build", *build_arguments(name, data, Path(work)), "--out", str(graph), "--seed=1"])
    runs = {model: out / name / model for model in MODELS}
    for model, folder in runs.items():
        if (folder / "config.toml").exists():
            run(["graphrec", "train", "--resume", "--out", str(folder)])
        else:
            training = DEMO[1:] if name.startswith("bookshop-") else TRAINING + BUDGET.get(name, ["--epochs=100"])
            run(["graphrec", "train", str(graph), f"--model={model}", *training, "--out", str(folder)])
    return json.loads(run(["graphrec", "evaluate", *map(str, runs.values()), "--k=20", "--json"]))


def row(view: str, metrics: dict[str, float]) -> str:
    """A line of the table."""
    return f"| {view} | {metrics['recall@20']:.4f} | {metrics['ndcg@20']:.4f} |"


def main() -> None:
    """Judge each set and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with a folder for each set")
    parser.add_argument("--out", type=Path, required=True, help="where graphs and runs go")
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="SET")
    options = parser.parse_args()
    for name in options.sets:
        found = judge(name, options.data, options.out)
        print(f"\n### {name}\n\n| view | recall@20 | ndcg@20 |\n|---|---:|---:|")
        for baseline, metrics in found["runs"][0]["baselines"].items():
            print(row(baseline, metrics))
        for judged in found["runs"]:
            print(row(judged["model"], judged["test"]), flush=True)


if __name__ == "__main__":
    main()
