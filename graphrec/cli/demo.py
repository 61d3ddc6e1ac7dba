"""demo: a first project from tables to an explained recommendation, each step under the command that does it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli.console import GUIDED, say
from graphrec.errors import OccupiedError

MARK = ".graphrec-demo"  # stands in folders that a demo made, and may therefore make anew
PARTS = ("tables", "graph", "run")
SOMEONE = "alice"
TRAINING = (
    "--model=gat",
    "--epochs=40",
    "--batch-size=256",
    "--learning-rate=0.005",
    "--l2=0.01",
    "--seed=1",
    "--refit",
)


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the demo may write.")] = Path("demo"),
) -> None:
    """Generate a small bookshop, train on it, and show what comes out; takes a minute or two."""
    _make_room(out)
    tables, graph, run = (out / part for part in PARTS)

    from graphrec.data import synthetic

    say("A small bookshop: who read what, what the books have in common, and their titles.\n")
    say(f"$ python -m graphrec.data.synthetic {shlex.quote(str(tables))}")
    synthetic.generate().save(tables)
    described = [f"--{name}={tables / name}.csv" for name in ("knowledge", "items", "users")]
    build: list[str | Path] = ["build", tables / "interactions.csv", *described, "--split=last", "--out", graph]
    _step(ctx, "Build a graph; each reader's last book is held out.", *build)
    _step(ctx, "Train graph attention on it.", "train", graph, *TRAINING, "--out", run)
    _step(ctx, "Judge it on the held-out books, beside two baselines.", "evaluate", run, "--k=20")
    _step(ctx, f"Recommend to {SOMEONE}.", "recommend", run, "--user", SOMEONE, "--k=5")
    _step(ctx, "Explain the first of them.", "explain", run, "--user", SOMEONE, "--item", _first(run))
    say(
        f"\nThe report is in {run / 'report.html'}. Next, your own tables:\n"
        "  graphrec check interactions.csv\n"
        "  graphrec build interactions.csv --out graph\n"
        "  graphrec train graph --out runs/first"
    )


def _make_room(out: Path) -> None:
    """An empty folder; what an earlier demo made goes, and nothing else."""
    if out.exists() and not (out.is_dir() and ((out / MARK).exists() or not any(out.iterdir()))):
        raise OccupiedError(f"{out} was not made by a demo, and stays as it is", "choose another folder with --out")
    for part in PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def _step(ctx: typer.Context, words: str, *command: str | Path) -> None:
    """Say what comes and the command for it, then run that command."""
    arguments = [str(part) for part in command]
    say(f"\n{words}\n\n$ graphrec {shlex.join(arguments)}")
    root = ctx.find_root()
    debug = ["--debug"] if root.params["debug"] else []
    token = GUIDED.set(True)
    try:
        status = root.command.main([*debug, *arguments], prog_name="graphrec", standalone_mode=False)
    finally:
        GUIDED.reset(token)
    if status:
        raise typer.Exit(status)


def _first(run: Path) -> str:
    """The item recommended first."""
    from graphrec.recommender import load

    return str(load(run).recommend([SOMEONE], k=1)["item_id"].iloc[0])
