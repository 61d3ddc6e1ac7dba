"""Whatever graphrec reads from outside, at random: does it end in a result that holds, or in an error with a code?

python examples/benchmarks/fuzz.py --minutes 30
python examples/benchmarks/fuzz.py --minutes 5 --target runs --seed 7 --out found --json

The targets are tables in memory, the same past memory, known folders, damaged run and graph folders, and damaged
checkpoints; those that are asked for share the time. What is given stands in fuzz_inputs.py and fuzz_damage.py, what
must hold in fuzz_checks.py and fuzz_folders.py; tests/test_fuzz.py has a short pass of it. Inputs come from hypothesis,
which makes one that fails smaller. Each target runs in a process of its own, so that a crash or a hang is a failure
like any other.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz_checks import check_large, check_tables
from fuzz_damage import damages
from fuzz_folders import Wholes, check_checkpoint, check_graph, check_run
from fuzz_inputs import folders, tables
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from graphrec.data.large import parts, rows

TARGETS = ("tables", "large", "folders", "runs", "graphs", "checkpoints")
ROUND = 200  # inputs that hypothesis draws from one seed
PATIENCE = 120.0  # seconds for one input


def small_blocks() -> None:
    """Blocks of a few rows, so that small tables cross their borders."""
    rows.ROWS, rows.BLOCK, parts.TEXT_BYTES = 5, 7, 300
    rows.whole_users.__defaults__ = (7,)


def prepared(target: str, folder: Path) -> tuple[st.SearchStrategy[Any], Callable[[Any, Path], str]]:
    """What a target draws, and the check."""
    if target == "large":
        small_blocks()
    if target in ("tables", "large"):
        return tables(), check_large if target == "large" else check_tables
    if target == "folders":
        return folders, check_tables
    wholes, some = Wholes.made(folder), st.lists(damages, min_size=1, max_size=3)
    if target == "graphs":
        return some, lambda drawn, place: check_graph(wholes, drawn, place)
    if target == "checkpoints":
        return st.tuples(some, st.booleans()), lambda drawn, place: check_checkpoint(wholes, *drawn, place)
    drawn = st.tuples(st.sampled_from(list(wholes.runs)), some, st.booleans())
    return drawn, lambda drawn, place: check_run(wholes, *drawn, place)


def work(target: str, first: int, seconds: float, out: Path, told: Connection) -> None:
    """A process: rounds of inputs until the time is over; that it begins, and each input's outcome, is told.

    Args:
        first: seed of the first round.
        out: where the input at hand lies, and those that fail.
        told: hears (outcome, what went wrong) of each input.
    """
    warnings.simplefilter("error")
    logging.disable(logging.WARNING)  # that a checkpoint is torn is told
    with tempfile.TemporaryDirectory() as folder:
        strategy, check = prepared(target, Path(folder))
        told.send(("", ""))
        trial = Trial(check, time.time() + seconds, out / f"{target}-now", told)
        number = first
        while time.time() < trial.stop:
            one_round(strategy, trial, number)
            number += 1


class Trial:
    """Checks inputs, tells what became of each, and keeps those that fail.

    Args:
        check: of an input.
        stop: time after which nothing is checked any more.
        place: folder of the input at hand.
        told: hears (outcome, name of the failure).
    """

    def __init__(self, check: Callable[[Any, Path], str], stop: float, place: Path, told: Connection) -> None:
        self.check, self.stop, self.place, self.told = check, stop, place, told
        self.failed = 0

    def __call__(self, drawn: Any) -> None:
        """Check one input; an exception goes on, for hypothesis to make the input smaller."""
        if time.time() > self.stop:
            return
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        (self.place / "input.txt").write_text(repr(drawn), encoding="utf-8")
        try:
            self.told.send((self.check(drawn, self.place / "files"), ""))
        except Exception as error:
            self.failed += 1
            self.told.send(("failed", kept(error, self.place)))
            raise


def one_round(strategy: st.SearchStrategy[Any], trial: Trial, number: int) -> None:
    """Draw inputs from one seed."""
    failed = trial.failed

    @seed(number)
    @settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(drawn: Any) -> None:
        trial(drawn)

    try:
        one()
    except Exception:
        if trial.failed == failed:  # else it has been told
            raise


def kept(error: Exception, place: Path) -> str:
    """Keep a failing input, in place of an earlier one that failed at the same line; returns the name of its folder."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    target = place.with_name(f"{type(error).__name__}-{Path(frames[-1].filename).stem}-{frames[-1].lineno}")
    (place / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    place.rename(target)
    return target.name


def fuzz(target: str, seconds: float, first: int, out: Path) -> tuple[Counter[str], set[str]]:
    """Run a target, anew where its process dies.

    Returns:
        How many inputs had which outcome, and the names of the failures.
    """
    counts, failures = Counter[str](), set[str]()
    spawn = multiprocessing.get_context("spawn")
    while seconds > 0:
        ours, theirs = spawn.Pipe(duplex=False)
        child = spawn.Process(target=work, args=(target, first, seconds, out, theirs))
        child.start()
        theirs.close()
        ours.recv()
        began = time.time()
        hung = listen(ours, counts, failures)
        if hung:
            child.kill()
        child.join()
        if child.exitcode == 0:
            break
        name = f"{'hang' if hung else 'crash'}-{target}-{len(failures)}"
        (out / f"{target}-now").rename(out / name)
        counts["failed"] += 1
        failures.add(name)
        seconds -= time.time() - began
        first += 1000
    shutil.rmtree(out / f"{target}-now", ignore_errors=True)
    return counts, failures


def listen(told: Connection, counts: Counter[str], failures: set[str]) -> bool:
    """Count outcomes until the process has ended; returns whether it hangs instead."""
    try:
        while told.poll(PATIENCE):
            code, name = told.recv()
            counts[code] += 1
            failures |= {name} - {""}
    except EOFError:
        return False
    return True


def main(arguments: list[str] | None = None) -> None:
    """Fuzz and print; exit status 1 where something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="over all targets")
    parser.add_argument("--target", choices=TARGETS, action="append", help="may be repeated; all if left out")
    parser.add_argument("--seed", type=int, default=0, help="of the first inputs")
    parser.add_argument("--out", type=Path, default=Path("fuzz-found"), help="folder for the inputs that fail")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    targets = options.target or TARGETS
    options.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for target in targets:
        counts, failures = fuzz(target, 60 * options.minutes / len(targets), options.seed, options.out.absolute())
        found[target] = {"inputs": counts.total(), "outcomes": dict(counts.most_common()), "failures": sorted(failures)}
        if not options.json:
            shown = ", ".join(f"{count} {code}" for code, count in counts.most_common())
            print(f"{target:8} {counts.total():7,} inputs: {shown}", *sorted(failures), sep="\n    ", flush=True)
    with suppress(OSError):  # it holds something
        options.out.rmdir()
    if options.json:
        print(json.dumps(found, indent=2))
    sys.exit(any(row["failures"] for row in found.values()))


if __name__ == "__main__":
    main()
