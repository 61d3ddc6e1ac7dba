"""How the time of each piece of work grows with the graph, beside its floor, as a table.

    python examples/benchmarks/growth.py

Runs ``graphrec bench`` on drawn graphs of 1.6, 6 and 20 million directed edges, with users and items in proportion.
Time ÷ floor would stay the same if nothing but the size of the arrays counted; the last column is how far it rises
above its smallest. PyG is timed up to the first size only: its attention needs some 20 GB for 20 million edges.
Each size is reported when it is done; the table goes to stdout, as Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from graphrec.bench import run_bench
from graphrec.bench.pairs import GOWALLA_EDGES

SIZES = (GOWALLA_EDGES, 6_000_000, 20_000_000)
Row = dict[str, Any]


def run(edges: int, repeats: int, peer: bool) -> list[Row]:
    """The bench's rows at one size, each with its edges and its time ÷ floor."""
    rows = run_bench(edges=edges, repeats=repeats, peer=peer)
    print(f"measured {edges:,} edges", file=sys.stderr, flush=True)
    return [{"edges": edges, **row, "times_floor": row["ours_s"] / row["floor_s"]} for row in rows]


def grown(runs: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """The rows of all sizes, work by work, each with its time ÷ floor beside the smallest of that work."""
    for rows in zip(*runs, strict=True):
        least = min(row["times_floor"] for row in rows)
        yield from ({**row, "growth": row["times_floor"] / least} for row in rows)


def show(table: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | edges | graphrec, s | graphrec, MB | beside the peer | floor, s | time ÷ floor | ÷ smallest |",
        "|---|---:|---:|---:|---|---:|---:|---:|",
    ]
    for row in table:
        memory = "–" if row["ours_mb"] is None else f"{row['ours_mb']:,.0f}"
        peer = "–" if row["peer"] is None else f"{row['ratio']:.1f} × {row['peer']}"
        cells = [row["work"], f"{row['edges']:,}", f"{row['ours_s']:.3f}", memory, peer]
        cells += [f"{row['floor_s']:.4f}", f"{row['times_floor']:.1f}", f"{row['growth']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure each size, smallest first, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, nargs="+", default=SIZES, help="directed edges of each graph")
    parser.add_argument("--peer-up-to", type=int, default=GOWALLA_EDGES, metavar="EDGES", help="largest size with PyG")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls, each after one that is not timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    sizes = sorted(options.edges)
    table = list(grown([run(edges, options.repeats, edges <= options.peer_up_to) for edges in sizes]))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")
    print(show(table))


if __name__ == "__main__":
    main()
