"""Whatever graphrec reads from outside, at random: does it end in a result that holds, or in an error with a code?

python examples/benchmarks/fuzz.py --minutes 30
python examples/benchmarks/fuzz.py --minutes 5 --target runs --seed 7 --out found --json

The targets are tables in memory, the same past memory, known folders, and damaged run and graph folders; those that are
asked for share the time. What is given and what must hold stands in fuzz_inputs.py, fuzz_damage.py and fuzz_checks.py;
tests/test_fuzz.py has a short pass of it. Inputs come from hypothesis, which makes one that fails smaller. Each target
runs in a process of its own, so that a crash or a hang is a failure like any other.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz_checks import Wholes, check_graph, check_large, check_run, check_tables
from fuzz_damage import damages
from fuzz_inputs import folders, tables
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from graphrec.data.large import parts, rows

TARGETS = ("tables", "large", "folders", "runs", "graphs")
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
    with tempfile.TemporaryDirectory() as folder:
        strategy, check = prepared(target, Path(folder))
        told.send(("", ""))
        stop, number = time.time() + seconds, first
        while time.time() < stop:
            one_round(strategy, partial(attempt, check, stop, out / f"{target}-now", told), number)
            number += 1


def one_round(strategy: st.SearchStrategy[Any], run: Callable[[Any], None], number: int) -> None:
    """Draw inputs from one seed; an input that fails is made smaller."""
    form = settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    try:
        seed(number)(form(given(strategy)(run)))()
    except Exception:  # told already
        return


def attempt(check: Callable[[Any, Path], str], stop: float, place: Path, told: Connection, drawn: Any) -> None:
    """Check one input, and tell what became of it; one that fails is kept as the smallest of its kind."""
    if time.time() > stop:
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "input.txt").write_text(repr(drawn), encoding="utf-8")
    try:
        told.send((check(drawn, place / "files"), ""))
    except Exception as error:
        last = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename][
            -1
        ]
        name = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        (place / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        shutil.rmtree(place.with_name(name), ignore_errors=True)
        place.rename(place.with_name(name))
        told.send(("failed", name))
        raise


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
        died = listen(ours, counts, failures)
        child.kill()
        child.join()
        seconds -= time.time() - began
        if died and seconds > 0:
            name = f"{died}-{target}-{len(failures)}"
            (out / f"{target}-now").rename(out / name)
            counts["failed"] += 1
            failures.add(name)
        first += 1000
    shutil.rmtree(out / f"{target}-now", ignore_errors=True)
    return counts, failures


def listen(told: Connection, counts: Counter[str], failures: set[str]) -> str:
    """Count outcomes until the process has ended; returns ``crash`` or ``hang`` where it did not end by itself."""
    try:
        while told.poll(PATIENCE):
            code, name = told.recv()
            counts[code] += 1
            failures |= {name} - {""}
        return "hang"
    except EOFError:
        return "crash"


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
    if options.json:
        print(json.dumps(found, indent=2))
    sys.exit(any(row["failures"] for row in found.values()))


if __name__ == "__main__":
    main()
