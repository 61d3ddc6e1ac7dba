"""Runs killed at random moments (SIGKILL) and gone on with: do they end in the same bytes as a run that was left alone?

python examples/benchmarks/kills.py --kills 50 --json
python examples/benchmarks/kills.py --kills 20 --models gat,fused --seed 7

A moment is a flush of a file or of its folder, a renaming, or a step of training; a checkpoint follows every step. A
run is started and gone on with until nothing kills it any more. Compared are all files in model/, metrics.json, and
history.csv without its seconds. Each process is a fork of this one, which has imported everything. Nothing
waits for the disk, since what a killed process has written stays; the report is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from graphrec import files, report
from graphrec.cli.app import app
from graphrec.data import read_dataset, synthetic
from graphrec.models import MODELS
from graphrec.training import trainer

SECONDS = ["seconds", "pairs_per_second"]
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Found:
    """What came of one model.

    Args:
        model: name.
        moments: in a run that is left alone.
        kills: that took place, over all runs.
        runs: that were killed, and then finished.
        same: how many of those ended in the bytes of the run that was left alone.
    """

    model: str
    moments: int
    kills: int
    runs: int
    same: int


class Moments:
    """Counts the moments of this process, and kills it at one of them.

    Args:
        last: the moment to die at, from 1; 0 for none.
        count: shared with the process that waits.
    """

    def __init__(self, last: int, count: Any) -> None:
        self.last, self.count = last, count

    def watch(self, owner: Any, name: str) -> None:
        """Make each call of a function a moment."""
        function = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            self.count.value += 1
            if self.count.value == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        setattr(owner, name, watched)


def process(arguments: list[str], last: int, count: Any, log: Path) -> None:
    """A process: the command, to its end or to the moment that is its last."""
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    moments = Moments(last, count)
    os.fsync = lambda descriptor: None
    for owner, name in ((os, "fsync"), (os, "replace"), (trainer.Trainer, "_after_step")):
        moments.watch(owner, name)
    trainer.SAVE_SECONDS = 0
    report.write_report = lambda out: files.write_text(out / "report.html", "") or out
    app(arguments, prog_name="graphrec")


def run(arguments: list[str], log: Path, last: int = 0) -> tuple[bool, int]:
    """Whether a command came to its end, and its moments.

    Raises:
        SystemExit: it failed by itself.
    """
    count = FORK.Value("q", 0)
    child = FORK.Process(target=process, args=(arguments, last, count, log))
    child.start()
    child.join()
    if child.exitcode not in (0, -signal.SIGKILL):
        sys.exit(f"graphrec {' '.join(arguments)} ended with {child.exitcode}:\n{log.read_text()}")
    return child.exitcode == 0, count.value


def training(model: str, graph: Path, out: Path) -> list[str]:
    """The command that trains a model on little."""
    views = MODELS[model].Settings().views if model == "fused" else (model,)
    width = any(field.name == "width" for view in views for field in fields(MODELS[view].Settings))
    options = ["--epochs=2", "--eval-every=1", "--average=1", "--batch-size=256", "--refit", *["--width=8"] * width]
    return ["train", str(graph), f"--model={model}", *options, "--seed=1", "--out", str(out)]


def digests(out: Path) -> dict[str, str]:
    """What a finished run is compared by."""
    history = pd.read_csv(out / "history.csv").drop(columns=SECONDS).to_csv(index=False)
    found = {"history.csv": hashlib.sha256(history.encode()).hexdigest()}
    for path in [out / "metrics.json", *sorted((out / "model").rglob("*"))]:
        if path.is_file():
            found[path.relative_to(out).as_posix()] = files.sha256(path)
    return found


def killed(command: list[str], out: Path, log: Path, moments: int, draw: random.Random) -> int:
    """Start a run, kill it, and go on with it until nothing kills it; returns how often it was killed."""
    kills, last = 0, draw.randint(1, moments)
    while True:
        begun = (out / "config.toml").exists()
        finished, _ = run(["train", "--resume", "--out", str(out)] if begun else command, log, last)
        if finished:
            return kills
        kills, last = kills + 1, draw.randint(1, 2 * moments)


def measure(model: str, kills: int, graph: Path, folder: Path, draw: random.Random) -> Found:
    """Kill runs of one model until as many kills have taken place."""
    log, whole = folder / f"{model}.log", folder / f"{model}-whole"
    _, moments = run(training(model, graph, whole), log)
    expected, done, runs, same = digests(whole), 0, 0, 0
    while done < kills:
        out = folder / f"{model}-{runs}"
        done += killed(training(model, graph, out), out, log, moments, draw)
        runs += 1
        same += digests(out) == expected
    return Found(model, moments, done, runs, same)


def make_graph(folder: Path) -> Path:
    """A graph folder with everything that a model may need."""
    world = synthetic.generate(seed=3, num_users=60, num_items=40)
    tables = {"knowledge": world.knowledge, "items": world.items, "users": world.users}
    read_dataset(world.interactions, **tables, seed=3).save(folder / "graph")
    return folder / "graph"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; exit status 1 where a run ended otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="over all models, at least")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    models, draw = options.models.split(","), random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        graph = make_graph(Path(folder))
        share = -(-options.kills // len(models))
        found = [measure(model, share, graph, Path(folder), draw) for model in models]
    if options.json:
        print(json.dumps([vars(row) for row in found], indent=2))
    for row in [] if options.json else found:
        print(f"{row.model:14} {row.kills:3} kills in {row.runs} runs of {row.moments} moments: {row.same} the same")
    sys.exit(any(row.same < row.runs for row in found))


if __name__ == "__main__":
    main()
