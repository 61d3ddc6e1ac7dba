"""The weighed sum over views in one compiled pass, beside the same in plain torch: seconds, and how far they differ.

python examples/benchmarks/fusing.py
python examples/benchmarks/fusing.py --views 5 --people 96 --items 40981
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphrec.layers import combine, weigh

AT_ONCE = 24
"""People at once in plain torch: 2²⁰ scores of a view; more is slower."""


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The least of several calls, after one that compiles."""
    work()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("--views", 5), ("--people", 96), ("--items", 40_981)):
        parser.add_argument(name, type=int, default=value, metavar="N")
    options = parser.parse_args(arguments)
    views, people, items = options.views, options.people, options.items
    shapes = ((views, people, items), (views, people), (views, people), (views, 5), (views,), (people,), (items,))
    generator = torch.Generator().manual_seed(0)
    scores, mean, scale, attention, gamma, *contexts = (torch.randn(shape, generator=generator) for shape in shapes)
    scale, gamma, (of_user, of_item) = scale.abs(), gamma.abs(), contexts

    def plain() -> Tensor:
        parts = []
        for rows in torch.arange(people).split(AT_ONCE):
            standard = (scores[:, rows] - mean[:, rows, None]) * scale[:, rows, None]
            parts.append(weigh(standard, attention, gamma, of_user[rows], of_item).sum(dim=0))
        return torch.cat(parts)

    def compiled() -> Tensor:
        return combine(scores, mean, scale, attention, gamma, of_user, of_item)

    slow, fast = seconds(plain), seconds(compiled)
    apart = float((plain() - compiled()).abs().max())
    floor = scores.numel() * 4 / 10e9  # the scores read once, at 10 GB/s
    print(f"{views} views, {people} people, {items:,} items, {torch.get_num_threads()} threads")
    print(f"plain torch {slow:.4f} s, compiled {fast:.4f} s: {slow / fast:.1f} times; reading alone {floor:.4f} s")
    print(f"largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
