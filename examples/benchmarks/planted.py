"""Interactions of any number, drawn: power laws of use and popularity, and a taste to find, as Parquet and CSV.

    python examples/benchmarks/planted.py --edges 1e6 --out interactions/            # part-00000.parquet, …
    python examples/benchmarks/planted.py --csv interactions/ --out interactions.csv

There is a user for every 20 interactions and an item for every 100. Users have 5 interactions at least, and a power law
of more; items' popularity is a power law of its rank. Each user and each item belongs to one of ½√items groups. Of a
user's items, 7 in 10 are drawn by popularity within the user's group and 3 by popularity over all, so what a user will
use next is far easier to say for who has found the groups. A pair may repeat: one row in 6 repeats an earlier one at a
million interactions, one in 17 at 100 million. Rows come in the order of time, and ids are text whose numbers say
nothing about group or popularity.

The same edges and seed give the same bytes, with the same versions of NumPy and pyarrow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

FEWEST = 5  # interactions of a user
TAIL = 1.3  # exponent of the share of users with more than a given number of interactions
MOST = 100  # times the scale of that law; beyond it all count as much
POPULARITY = 0.75  # exponent of an item's popularity by its rank
TASTE = 0.7  # share of the interactions that are drawn within the user's group
START, SPAN = 1_600_000_000, 3 * 365 * 86_400  # seconds
PART = 5_000_000  # rows of a file, at most
FEWEST_PARTS = 4


class Sizes(NamedTuple):
    """How many users, items and groups there are."""

    users: int
    items: int
    groups: int


def sizes_for(edges: int) -> Sizes:
    """In proportion to the interactions, of which there must be 2,000 at least.

    >>> sizes_for(100_000_000)
    Sizes(users=5000000, items=1000000, groups=500)
    """
    if edges < 2000:
        raise SystemExit(f"edges must be >= 2000, got {edges}")
    return Sizes(edges // 20, edges // 100, round((edges // 100) ** 0.5 / 2))


def draw_degrees(users: int, edges: int, generator: np.random.Generator) -> np.ndarray:
    """How often each user appears: int32 [users], whose sum is ``edges``."""
    weight = generator.pareto(TAIL, users).clip(max=MOST)
    beyond = edges - FEWEST * users
    degree = FEWEST + (weight * (beyond / weight.sum())).astype(np.int32)
    degree[: edges - int(degree.sum())] += 1  # what rounding down left over
    return degree


def draw_ranks(count: int, ranks: int, generator: np.random.Generator) -> np.ndarray:
    """Ranks from 0, each about as likely as (rank + 1) to the power of −POPULARITY: int64 [count]."""
    flat = 1 - POPULARITY
    longest = (ranks + 1) ** flat
    rank = (1 + generator.random(count) * (longest - 1)) ** (1 / flat)  # the law's distribution function, inverted
    return np.minimum(rank.astype(np.int64) - 1, ranks - 1)


def draw_items(group: np.ndarray, sizes: Sizes, generator: np.random.Generator) -> np.ndarray:
    """An item for each user's group, by popularity: int64 [n]. The group of item i is i modulo the groups.

    Args:
        group: int [n] in [0, groups).
        sizes: of the world.
        generator: of the draws.
    """
    own = draw_ranks(len(group), sizes.items // sizes.groups, generator) * sizes.groups + group
    other = draw_ranks(len(group), sizes.items, generator)
    return np.where(generator.random(len(group)) < TASTE, own, other)


def make_ids(letter: str, count: int, generator: np.random.Generator) -> pa.StringArray:
    """``count`` ids such as u0012345, in random order.

    >>> make_ids("u", 3, np.random.default_rng(0)).to_pylist()
    ['u0000002', 'u0000000', 'u0000001']
    """
    number = pc.utf8_lpad(pa.array(generator.permutation(count)).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise(letter, number, "")


def write_parts(edges: int, folder: Path, seed: int = 1) -> None:
    """Draw a world and write its interactions, part by part: user_id, item_id, timestamp."""
    generator = np.random.default_rng([seed, 0])
    sizes = sizes_for(edges)
    user_ids, item_ids = make_ids("u", sizes.users, generator), make_ids("i", sizes.items, generator)
    group = generator.integers(0, sizes.groups, sizes.users, dtype=np.int32)
    degree = draw_degrees(sizes.users, edges, generator)
    user = np.repeat(np.arange(sizes.users, dtype=np.int32), degree)
    generator.shuffle(user)
    folder.mkdir(parents=True, exist_ok=True)
    rows = min(PART, -(-edges // FEWEST_PARTS))
    for part, first in enumerate(range(0, edges, rows)):
        here = user[first : first + rows]
        item = draw_items(group[here], sizes, np.random.default_rng([seed, 1, part]))
        columns = {"user_id": user_ids.take(pa.array(here)), "item_id": item_ids.take(pa.array(item))}
        columns["timestamp"] = pa.array(START + np.arange(first, first + len(here)) * SPAN // edges)
        pq.write_table(pa.table(columns), folder / f"part-{part:05d}.parquet")


def write_csv(parts: Path, file: Path) -> None:
    """All parts, in order, as one CSV file."""
    plain = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with file.open("wb") as out:
        for number, part in enumerate(sorted(parts.glob("part-*.parquet"))):
            table = pq.read_table(part)
            if number == 0:
                out.write(",".join(table.column_names).encode() + b"\n")
            pyarrow.csv.write_csv(table, out, plain)


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--edges", type=float, help="interactions to draw")
    what.add_argument("--csv", type=Path, metavar="PARTS", help="a folder of parts to write as CSV")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="the folder of parts, or the CSV file, to write")
    options = parser.parse_args()
    if options.csv:
        write_csv(options.csv, options.out)
    else:
        write_parts(int(options.edges), options.out, options.seed)


if __name__ == "__main__":
    main()
