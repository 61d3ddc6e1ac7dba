"""The stages of scale.py: what each needs, runs and writes, and what it costs in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GRAPHREC = (sys.executable, "-c", "from graphrec.cli import main; main()")
WHOLE_EPOCHS = 1_000_000  # up to so many interactions whole epochs are trained
MODEL = "--model gat --sampling neighbor --fanout 10,10 --width 32 --heads 2 --loss softmax --batch-size 1024 --seed 1"
K = 20
A_RUN = "a run"  # needed by stages that read one: train, or train-steps where whole epochs take too long

Row = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """How much is done of what takes long.

    Args:
        memory: that ``graphrec build`` may take, such as 4GB.
        batches: that are sampled; steps: of limited training; epochs: of whole training.
        rank_users: that are ranked at most; 0 ranks everybody.
    """

    memory: str = "4GB"
    batches: int = 200
    steps: int = 200
    epochs: int = 2
    rank_users: int = 50_000


@dataclass(frozen=True)
class Size:
    """One size of the graph and where its files are.

    Args:
        edges: interactions that are drawn.
        work: holds a folder for each size.
    """

    edges: int
    work: Path

    @property
    def name(self) -> str:
        """Of its folder.

        >>> Size(25_000_000, Path("work")).name
        '2.5e7'
        """
        digits, exponent = f"{self.edges:.6e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"

    @property
    def users(self) -> int:
        return self.edges // 20

    @property
    def trained(self) -> str:
        """The stage whose run is exported and ranks."""
        return "train" if self.edges <= WHOLE_EPOCHS else "train-steps"

    @property
    def folder(self) -> Path:
        return self.work / self.name

    def output(self, stage: str) -> Path:
        """What a stage writes."""
        return self.folder / STAGES[self.trained if stage == A_RUN else stage].output


@dataclass(frozen=True)
class Stage:
    """A piece of work.

    Args:
        output: the file or folder that it writes; empty if none.
        needs: the stage whose output it reads; empty if none.
        command: makes its command of the size, the budget, what it reads and what it writes.
        reports: whether it prints further figures as JSON.
    """

    output: str
    needs: str
    command: Callable[[Size, Budget, Path, Path], Sequence[object]]
    reports: bool = False


def script(name: str, *arguments: object) -> list[object]:
    """The command of a script in this folder."""
    return [sys.executable, HERE / name, *arguments]


def generate(size: Size, budget: Budget, table: Path, out: Path) -> list[object]:
    """The interactions as Parquet."""
    return script("planted.py", "--edges", size.edges, "--out", out)


def generate_csv(size: Size, budget: Budget, table: Path, out: Path) -> list[object]:
    """The same as CSV."""
    return script("planted.py", "--csv", table, "--out", out)


def ingest(size: Size, budget: Budget, table: Path, out: Path) -> list[object]:
    """A graph folder, by the command."""
    return [*GRAPHREC, "build", table, "--memory", budget.memory, "--split", "random", "--seed", 1, "--out", out]


def sample(size: Size, budget: Budget, graph: Path, out: Path) -> list[object]:
    """The sampler alone."""
    return script("scale_work.py", "sample", graph, "--count", budget.batches)


def train_steps(size: Size, budget: Budget, graph: Path, out: Path) -> list[object]:
    """Some steps of training, from Python."""
    return script("scale_work.py", "train", graph, "--count", budget.steps, "--out", out)


def train(size: Size, budget: Budget, graph: Path, out: Path) -> list[object]:
    """Whole epochs, by the command."""
    return [*GRAPHREC, "train", graph, *MODEL.split(), "--epochs", budget.epochs, "--out", out]


def infer(size: Size, budget: Budget, run: Path, out: Path) -> list[object]:
    """The vectors of all nodes, a layer at a time."""
    return script("scale_work.py", "infer", run, "--out", out)


def export(size: Size, budget: Budget, run: Path, out: Path) -> list[object]:
    """The vectors that the run keeps, as Parquet with ids, by the command."""
    return [*GRAPHREC, "export", run, "--out", out]


def rank_one(size: Size, budget: Budget, run: Path, out: Path) -> list[object]:
    """One user's list: what ranking costs before it begins."""
    return [*GRAPHREC, "recommend", run, "--user", "u0000000", "--k", K, "--out", out]


def rank(size: Size, budget: Budget, run: Path, out: Path) -> list[object]:
    """The lists of all users or, up to the budget, of the first: their numbers are drawn and say nothing."""
    users, whom = ranked(size, budget), ["--all-users"]
    if users < size.users:
        file = out.with_name("users.txt")
        file.write_text("".join(f"u{number:07d}\n" for number in range(users)), encoding="utf-8")
        whom = ["--users-file", str(file)]
    return [*GRAPHREC, "recommend", run, *whom, "--k", K, "--out", out]


STAGES: dict[str, Stage] = {
    "generate": Stage("interactions", "", generate),
    "generate-csv": Stage("interactions.csv", "generate", generate_csv),
    "ingest-parquet": Stage("graph", "generate", ingest),
    "ingest-csv": Stage("graph-csv", "generate-csv", ingest),
    "sample": Stage("", "ingest-parquet", sample, reports=True),
    "train-steps": Stage("run-steps", "ingest-parquet", train_steps, reports=True),
    "train": Stage("run", "ingest-parquet", train),
    "infer": Stage("inferred", A_RUN, infer, reports=True),
    "export": Stage("vectors", A_RUN, export),
    "rank-one": Stage("one.parquet", A_RUN, rank_one),
    "rank": Stage("top.parquet", A_RUN, rank),
}


def ranked(size: Size, budget: Budget) -> int:
    """How many users are ranked."""
    return min(size.users, budget.rank_users or size.users)


def needed(name: str, size: Size) -> str:
    """The stage to finish before this one; empty if none."""
    needs = STAGES[name].needs
    return size.trained if needs == A_RUN else needs


def chosen(size: Size, names: Sequence[str] | None) -> list[str]:
    """The named stages in their order; by default all, but whole epochs for small sizes alone."""
    if names is None:
        return [name for name in STAGES if name != "train" or size.trained == "train"]
    return [name for name in STAGES if name in names]


def amount(name: str, size: Size, budget: Budget) -> Row:
    """How much a stage does, where that is a choice."""
    choices: dict[str, Row] = {
        "ingest-parquet": {"memory": budget.memory},
        "ingest-csv": {"memory": budget.memory},
        "sample": {"batches": budget.batches},
        "train-steps": {"steps": budget.steps},
        "train": {"epochs": budget.epochs},
        "rank": {"users_ranked": ranked(size, budget), "users": size.users},
    }
    return choices.get(name, {})


def measure(name: str, size: Size, budget: Budget) -> Row:
    """Run a stage, after removing what it wrote before, and say what it cost.

    Raises:
        SystemExit: it failed; its last words are quoted.
    """
    stage, out = STAGES[name], size.output(name)
    size.folder.mkdir(parents=True, exist_ok=True)
    if stage.output:
        remove(out)
    command = stage.command(size, budget, size.output(stage.needs) if stage.needs else out, out)
    said, seconds, peak_mb = cost(command, size.folder / f"{name}.log")
    row: Row = {"edges": size.edges, "stage": name, "seconds": seconds, "peak_mb": peak_mb}
    row["disk_mb"] = disk_mb(out) if stage.output else 0.0
    return row | amount(name, size, budget) | (json.loads(said) if stage.reports else {})


def cost(command: Sequence[object], log: Path) -> tuple[str, float, float]:
    """What a process writes to stdout, its seconds, and its peak resident MB, mapped files included."""
    # Linux counts what the parent held when it started the child, so this script imports little before it measures.
    with log.open("w") as errors:
        start = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=errors, text=True)
        with process.stdout:
            said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # it is gone, and Popen cannot know
    if process.returncode:
        words = "\n".join(log.read_text().splitlines()[-10:])
        raise SystemExit(f"status {process.returncode} from: {' '.join(map(str, command))}\n{words}")
    return said, seconds, usage.ru_maxrss / 1024


def disk_mb(path: Path) -> float:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def remove(path: Path) -> None:
    """Remove a file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
