"""What ``graphrec build`` takes beyond importing what it needs: seconds and peak memory.

    python examples/benchmarks/building.py path/to/gowalla

Both are measured in processes of their own: one that imports the command and everything that it loads while it builds,
and one that builds. The smaller of several runs counts, since other programs can only slow a run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORTS = "import graphrec.cli, graphrec.graph.build, scipy.sparse.csgraph, pyarrow.csv, pyarrow.parquet"
BUILD = "from graphrec.cli import main; main()"


def cost(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak resident MB of a Python process that runs ``code``."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the process failed: {code} {' '.join(arguments)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def smallest(runs: list[tuple[float, float]]) -> tuple[float, float]:
    """The smallest of each column."""
    seconds, megabytes = zip(*runs, strict=True)
    return min(seconds), min(megabytes)


def main() -> None:
    """Measure and print three lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="what graphrec build is to read")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    importing, building = [], []
    for _ in range(options.repeats):
        importing.append(cost(IMPORTS))
        with tempfile.TemporaryDirectory() as folder:
            building.append(cost(BUILD, "build", str(options.data), "--out", f"{folder}/graph"))
    imports, whole = smallest(importing), smallest(building)
    for name, (seconds, megabytes) in {"imports": imports, "graphrec build": whole}.items():
        print(f"{name}: {seconds:.2f} s, {megabytes:.0f} MB")
    print(f"beyond imports: {whole[0] - imports[0]:.2f} s, {whole[1] - imports[1]:.0f} MB")


if __name__ == "__main__":
    main()
