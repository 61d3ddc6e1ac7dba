"""Users a second that are ranked against a large catalogue: `rank` beside `rank_vectors`, on vectors drawn at random.

python examples/benchmarks/lists.py --items 1e6 --json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch

from graphrec.ranking import Ranking, rank, rank_vectors
from graphrec.sparse import CSR

SEEN = 20


def measure(num_users: int, num_items: int, width: int, k: int) -> dict[str, float | int | bool]:
    """Both ways on the same vectors: users a second by the clock and by the processor's time of one core."""
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(count, width, generator=generator) for count in (num_users, num_items))
    seen = torch.randint(num_items, (num_users * SEEN,), generator=generator)
    csr = CSR.from_pairs(torch.arange(num_users).repeat_interleave(SEEN), seen, num_users, num_items)
    numbers = torch.arange(num_users)
    ways: dict[str, Callable[[], Ranking]] = {
        "rank": lambda: rank(lambda block: users[block] @ items.T, numbers, k, num_items=num_items, seen=csr),
        "rank_vectors": lambda: rank_vectors(users, items, numbers, k, seen=csr),
    }
    row: dict[str, float | int | bool] = {"users": num_users, "items": num_items, "width": width, "k": k}
    found = []
    for name, way in ways.items():
        clock, core = time.perf_counter(), time.process_time()
        found.append(way())
        row[f"{name}_users_per_s"] = round(num_users / (time.perf_counter() - clock), 1)
        row[f"{name}_users_per_core_s"] = round(num_users / (time.process_time() - core), 1)
    return row | {"same_items": torch.equal(found[0].items, found[1].items)}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("users", 2048), ("items", 1e6), ("width", 32), ("k", 20)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    measure(100, 1000, 8, 5)  # compiles
    row = measure(int(options.users), int(options.items), int(options.width), int(options.k))
    print(json.dumps(row, indent=2) if options.json else "\n".join(f"{name:28} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
