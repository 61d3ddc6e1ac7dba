"""graphrec's kernels on a GPU: checked against their definitions, then timed beside their peers and the floor.

    python examples/benchmarks/gpu.py --json gpu.json
    python examples/benchmarks/gpu.py --tiny         # to the end in seconds, on the CPU, in Triton's interpreter

The graph is drawn: 29,858 users, 40,981 items and 810,128 pairs as in Gowalla, with power-law degrees. Both directions
of E = 1,620,256 edges join N = 70,839 nodes; vectors are W = 64 wide, attention has 4 heads of 16.

Times are milliseconds on the device, between CUDA events around a round of calls: ``eager`` as anyone would call it,
``captured`` the same call replayed from a CUDA graph, which leaves out what Python and launches cost. The median of the
rounds counts. The peers, torch's CSR product (cuSPARSE) and PyTorch Geometric's layers, run eagerly, as they are used.

The floor is bytes over the bandwidth of a triad measured in the same run, each array that the work must read or write
counted once; for ranking, the multiplications over the speed of a large product. gpu_work.py has the formulas.

It ends with status 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

# read when triton is imported, which torch_geometric does
os.environ["TRITON_INTERPRET"] = "1" if "--tiny" in sys.argv else "0"

import torch
from gpu_checks import CASES, Check, check_all, random_graph
from gpu_clock import Clock, Row
from gpu_work import World, time_all

USERS, ITEMS, PAIRS = 29_858, 40_981, 810_128


def print_checks(checks: list[Check]) -> None:
    """A line for each, as a Markdown table."""
    print("| kernel | storage | worst result | its error | may be | |\n|---|---|---|---:|---:|---|")
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        print(
            f"| {check.what} | {check.dtype} | {check.worst} | {check.error:.1e} | {check.tolerance:.0e} | {verdict} |"
        )


def print_rows(rows: list[Row]) -> None:
    """A line for each in milliseconds, as a Markdown table."""
    print("\n| work | eager, ms | captured, ms | peer | peer, ms | floor, ms |\n|---|---:|---:|---|---:|---:|")
    for row in rows:
        cells = (
            "–" if s is None else f"{s * 1000:.3f}" for s in (row.eager_s, row.captured_s, row.peer_s, row.floor_s)
        )
        eager, captured, theirs, floor = cells
        print(f"| {row.work} | {eager} | {captured} | {row.peer or '–'} | {theirs} | {floor} |")


def main() -> int:
    """Check, time, print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same figures there")
    parser.add_argument("--tiny", action="store_true", help="a tiny graph on the CPU, in Triton's interpreter")
    options = parser.parse_args()
    if options.tiny:
        device = torch.device("cpu")
        checks = check_all(random_graph(12, 10, 90), device, CASES[1:3])
        world, clock = World.draw(20, 30, 90, device), Clock(device, rounds=1, calls=1, size=2**16, side=64)
    else:
        device = torch.device("cuda")
        checks = check_all(random_graph(3000, 2500, 60_000), device)
        world, clock = World.draw(USERS, ITEMS, PAIRS, device), Clock(device, rounds=9, calls=20, size=2**28, side=8192)
    print_checks(checks)
    rows = time_all(world, clock)
    print_rows(rows)
    if options.json:
        machine = {
            "device": "cpu" if options.tiny else torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "bandwidth": clock.bandwidth,
            "arithmetic": clock.arithmetic,
        }
        found = machine | {"checks": [asdict(check) for check in checks], "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
