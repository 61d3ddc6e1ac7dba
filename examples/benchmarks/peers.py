"""One LightGCN training step and one building of its graph, beside LightGCN-PyTorch and RecBole, as a table.

    python examples/benchmarks/peers.py GRAPH --lightgcn-pytorch FOLDER --recbole PYTHON

GRAPH is a folder with train.txt and test.txt in LightGCN's form. FOLDER is a checkout of
github.com/gusye1234/LightGCN-PyTorch; PYTHON is the interpreter of an environment that holds RecBole 1.2.1. Name one or
both. Each library runs in a process of its own with the same number of threads, and they work in turn, so that a
machine that is busy for a moment slows all. The table goes to stdout, as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Any

import torch

from graphrec.bench.work import BATCH, BUILDING, LAYERS, STEP, WIDTH

WORKER = Path(__file__).with_name("peer_worker.py")
CHECKOUT = ("dataloader.py", "model.py", "utils.py", "world.py")
Row = dict[str, Any]


class Worker:
    """A library that was started in a process of its own and answers commands; see peer_worker.py.

    Args:
        name: what the table calls it.
        command: the interpreter and the worker's own arguments.
        scratch: a folder for what it writes.
    """

    def __init__(self, name: str, command: Sequence[str], scratch: Path) -> None:
        self.name = name
        self.written = scratch / "written.txt"
        sizes = [f"--layers={LAYERS}", f"--width={WIDTH}", f"--batch={BATCH}"]
        threads = str(torch.get_num_threads())
        settings = {f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "NUMBA")}
        settings |= {"CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": "1"}
        with self.written.open("w") as written:
            self.process = subprocess.Popen(
                [command[0], str(WORKER), *command[1:], *sizes],
                cwd=scratch,
                env=os.environ | settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=written,
                text=True,
            )
        self.read = self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def ask(self, command: str) -> Any:
        """The answer to one command.

        Raises:
            SystemExit: the process ended; says what it wrote last.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            print(command, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.close()
            last = "\n".join(self.written.read_text(errors="replace").splitlines()[-15:])
            raise SystemExit(f"{self.name} stopped; the last that it wrote:\n{last}")
        return json.loads(line)


def lightgcn_pytorch(folder: Path) -> tuple[str, list[str]]:
    """What to call the checkout, and how to start it: graphrec's own environment has all that it needs."""
    for name in CHECKOUT:
        if not (folder / "code" / name).is_file():
            raise SystemExit(
                f"{folder} has no code/{name}; name a checkout of https://github.com/gusye1234/LightGCN-PyTorch"
            )
    return "LightGCN-PyTorch", [sys.executable, "lightgcn-pytorch", f"--folder={folder.resolve()}"]


def recbole(python: str) -> tuple[str, list[str]]:
    """What to call RecBole, with its version, and how to start it."""
    found = shutil.which(python)
    if found is None:
        raise SystemExit(f"{python} is no interpreter; name the python of an environment that holds RecBole")
    asked = [found, "-c", "from importlib.metadata import version; print(version('recbole'))"]
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{python} holds no RecBole; see docs/benchmarks/README.md for what to install beside it")
    return f"RecBole {done.stdout.strip()}", [os.path.abspath(found), "recbole"]


def check(workers: Sequence[Worker]) -> None:
    """Stop unless all have read the same number of users, items and interactions, and use as many threads."""
    for worker in workers[1:]:
        if worker.read != workers[0].read:
            raise SystemExit(f"{worker.name} read {worker.read}, {workers[0].name} read {workers[0].read}")


def measure(workers: Sequence[Worker], rounds: int, steps: int, builds: int) -> dict[str, list[float]]:
    """Median seconds of each worker, by work; the first round of steps warms up and is not counted."""
    built = [[worker.ask("graph") for worker in workers] for _ in range(builds)]
    for worker in workers:
        worker.ask("model")
    stepped: list[list[float]] = [[] for _ in workers]
    for turn in range(rounds + 1):
        for worker, own in zip(workers, stepped, strict=True):
            seconds = [worker.ask("step") for _ in range(steps)]
            own += seconds if turn else []
    return {
        STEP: [median(own) for own in stepped],
        BUILDING: [median(own) for own in zip(*built, strict=True)],
    }


def rows(names: Sequence[str], seconds: dict[str, list[float]]) -> list[Row]:
    """A row for each work and peer, ours being the first name."""
    return [
        {"work": work, "ours_s": ours, "peer": name, "peer_s": peer, "ratio": peer / ours}
        for work, (ours, *peers) in seconds.items()
        for name, peer in zip(names[1:], peers, strict=True)
    ]


def show(table: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| work | graphrec, s | peer | peer, s | ratio |", "|---|---:|---|---:|---:|"]
    for row in table:
        lines.append("| {work} | {ours_s:.3f} | {peer} | {peer_s:.3f} | {ratio:.1f} |".format(**row))
    return "\n".join(lines)


def main() -> None:
    """Start ours and each peer that is named, measure in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="folder with train.txt and test.txt in LightGCN's form")
    parser.add_argument("--lightgcn-pytorch", type=Path, metavar="FOLDER", help="a checkout of LightGCN-PyTorch")
    parser.add_argument("--recbole", metavar="PYTHON", help="interpreter of an environment with RecBole 1.2.1")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not")
    parser.add_argument("--steps", type=int, default=3, help="training steps of each library in a round")
    parser.add_argument("--builds", type=int, default=1, help="how often each library builds its graph")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    libraries = [("graphrec", [sys.executable, "graphrec"])]
    libraries += [lightgcn_pytorch(options.lightgcn_pytorch)] if options.lightgcn_pytorch else []
    libraries += [recbole(options.recbole)] if options.recbole else []
    if len(libraries) == 1:
        parser.error("name a peer: --lightgcn-pytorch FOLDER or --recbole PYTHON")
    for name in ("train.txt", "test.txt"):
        if not (options.graph / name).is_file():
            parser.error(f"{options.graph} has no {name}")

    with ExitStack() as stack:
        workers = []
        for name, command in libraries:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            worker = Worker(name, [*command, str(options.graph.resolve())], scratch)
            workers.append(stack.enter_context(worker))
        check(workers)
        seconds = measure(workers, options.rounds, options.steps, options.builds)
    table = rows([worker.name for worker in workers], seconds)
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")
    print(show(table))


if __name__ == "__main__":
    main()
