"""From tables to everybody's recommendations on 1, 10 and 100 million drawn interactions: time, memory, disk.

    python examples/benchmarks/scale.py --edges 1e6 --json
    python examples/benchmarks/scale.py --edges 1e6 1e7 1e8 --work FOLDER --plot scale.png
    python examples/benchmarks/scale.py --edges 1e6 --stages ingest-parquet sample

Each stage runs in a process of its own, whose seconds, peak resident memory (files that are mapped into it count) and
files on disk are recorded:

- generate, generate-csv: the data, see planted.py. Not graphrec's work.
- ingest-parquet, ingest-csv: ``graphrec build``.
- sample: the neighbour sampler alone, on one thread: batches of 1024 pairs, their own edges removed, 10 neighbours in
  each of 2 hops.
- train-steps: a limited number of training steps of ``gat`` on such samples, width 32; an epoch is extrapolated.
- train: whole epochs by ``graphrec train``, up to a million interactions unless asked for.
- infer: the vectors of all nodes anew, a layer and a block of edges at a time, to disk; the graph is made for it.
- export: the vectors that the run keeps, as Parquet, by ``graphrec export``.
- rank-one, rank: the top 20 of one user and of many, by ``graphrec recommend``. Above --rank-users, the time for
  everybody is extrapolated: rank-one, and in proportion what ranking the others took beyond it.

infer, export and rank take the run of train, or of train-steps where whole epochs are not trained. A stage that needs
what another writes has it run first. Finished stages are recorded in FOLDER/scale.json and not run again, so the script
goes on where it stopped; without --keep, what a call has written is removed when the stages of its size are done. The
tables go to stdout, as Markdown or JSON; the second continues what was measured to 1 and 10 billion interactions.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

from scale_stages import STAGES, Budget, Row, Size, chosen, measure, needed, remove
from scale_tables import ASSUMED, derive, extrapolate, plot, show

CONTINUED = (1_000_000_000, 10_000_000_000)


class Record:
    """The rows measured so far, kept in a file.

    Args:
        file: JSON; need not exist.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []

    def holds(self, stage: str, size: Size) -> bool:
        """Whether the stage was finished at that size."""
        return any(row["stage"] == stage and row["edges"] == size.edges for row in self.rows)

    def add(self, row: Row) -> None:
        """Write a row down, instead of one for the same stage and size."""
        key = row["edges"], row["stage"]
        others = [old for old in self.rows if (old["edges"], old["stage"]) != key]
        self.rows = sorted([*others, row], key=lambda row: (row["edges"], list(STAGES).index(row["stage"])))
        written = self.file.with_suffix(".tmp")
        written.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        written.replace(self.file)


def finish(stage: str, size: Size, budget: Budget, record: Record) -> list[str]:
    """Run a stage, and before it those that it needs and whose output is not there; returns which were run."""
    before, done = needed(stage, size), []
    if before and not (record.holds(before, size) and size.output(before).exists()):
        done = finish(before, size, budget, record)
    print(f"{size.name} {stage} …", file=sys.stderr, flush=True)
    row = measure(stage, size, budget)
    print(f"{size.name} {stage}: {row['seconds']:.1f} s, {row['peak_mb']:,.0f} MB", file=sys.stderr, flush=True)
    record.add(row)
    return [*done, stage]


def run(size: Size, stages: list[str], budget: Budget, record: Record, keep: bool) -> None:
    """Finish the stages of one size, and remove what they wrote unless it is to be kept."""
    done: list[str] = []
    for stage in stages:
        if not record.holds(stage, size):
            done += finish(stage, size, budget, record)
    for stage in done:
        if STAGES[stage].output and not keep:
            remove(size.output(stage))


def parse() -> argparse.Namespace:
    """The options; those of ``Budget`` have its names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=float, nargs="+", default=[1e6, 1e7, 1e8], help="interactions of each graph")
    parser.add_argument("--stages", nargs="+", choices=STAGES, metavar="STAGE", help="only these")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="for files and record; else they are temporary")
    parser.add_argument("--keep", action="store_true", help="keep the data, graphs and runs in --work")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw time and memory there")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--memory", default=Budget.memory, help="that graphrec build may take")
    parser.add_argument("--batches", type=int, default=Budget.batches, help="that sample draws")
    parser.add_argument("--steps", type=int, default=Budget.steps, help="of train-steps")
    parser.add_argument("--epochs", type=int, default=Budget.epochs, help="of train")
    parser.add_argument("--rank-users", type=int, default=Budget.rank_users, help="ranked at most; 0: everybody")
    return parser.parse_args()


def main() -> None:
    """Measure each size, smallest first, and print the tables."""
    options = parse()
    budget = Budget(**{field.name: getattr(options, field.name) for field in fields(Budget)})
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        record = Record(work / "scale.json")
        for edges in sorted(map(int, options.edges)):
            size = Size(edges, work)
            run(size, chosen(size, options.stages), budget, record, options.keep)
    rows = derive(record.rows)
    further = list(extrapolate(rows, CONTINUED))
    if options.plot:
        plot(rows, options.plot)
    if options.json:
        print(json.dumps(rows + further, indent=1))
    else:
        print(show(rows), *[ASSUMED, show(further)] if further else [], sep="\n")


if __name__ == "__main__":
    main()
