"""Compiled passes of a fusion beside the same in plain torch: seconds, and how far they differ.

    python examples/benchmarks/fusing.py
    python examples/benchmarks/fusing.py --views 5 --people 96 --items 40981

The weighed sum over views, for all items; and the loss that fits the weights, with its gradient, for three held-out
items of each person among --candidates others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphrec.layers import combine, nearness_loss, weigh

AT_ONCE = 24
"""People at once in plain torch: 2²⁰ scores of a view; more is slower."""
HELD, SOFTNESS = 3, 0.3  # held-out items of each person; the width of the loss's sigmoid


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The least of several calls, after one that compiles."""
    work()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Normal numbers."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def weighed_sum(views: int, people: int, items: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """In plain torch, and compiled."""
    shapes = ((views, people, items), (views, people), (views, people), (views, 5), (views,), (people,), (items,))
    scores, mean, scale, attention, gamma, of_user, of_item = drawn(*shapes)
    weights = (attention, gamma.abs())

    def plain() -> Tensor:
        parts = []
        for rows in torch.arange(people).split(AT_ONCE):
            standard = (scores[:, rows] - mean[:, rows, None]) * scale[:, rows, None].abs()
            parts.append(weigh(standard, *weights, of_user[rows], of_item).sum(dim=0))
        return torch.cat(parts)

    return plain, lambda: combine(scores, mean, scale.abs(), *weights, of_user, of_item)


def loss_gradient(views: int, people: int, candidates: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """In plain torch, and compiled."""
    size = candidates + HELD
    scores, attention, gamma, of_user, of_item = drawn(
        (views, people, size), (views, 5), (views,), (people,), (people, size)
    )
    learned = [attention.requires_grad_(), gamma.abs().requires_grad_()]
    lists = scores.flatten(1), torch.arange(people + 1) * size, torch.full([people], HELD)

    def plain() -> Tensor:
        against, own = weigh(scores, *learned, of_user, of_item).sum(dim=0).split([candidates, HELD], dim=1)
        rank = 1 + ((against[:, None] - own[..., None]) / SOFTNESS).sigmoid().sum(dim=2)
        loss = -(1 / (1 + rank).log2()).mean(dim=1).sum()
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, learned)])

    def compiled() -> Tensor:
        _, *slopes = nearness_loss(*lists, *learned, of_user, of_item.flatten())
        return torch.cat([part.flatten() for part in slopes]).float()

    return plain, compiled


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("--views", 5), ("--people", 96), ("--items", 40_981), ("--candidates", 500)):
        parser.add_argument(name, type=int, default=value, metavar="N")
    options = parser.parse_args(arguments)
    views, people = options.views, options.people
    print(f"{views} views, {people} people, {torch.get_num_threads()} threads")
    for name, size, make in (("sum", options.items, weighed_sum), ("loss", options.candidates, loss_gradient)):
        plain, compiled = make(views, people, size)
        slow, fast = seconds(plain), seconds(compiled)
        apart = float((plain() - compiled()).abs().max())
        floor = views * people * size * 4 / 10e9  # the scores read once, at 10 GB/s
        print(
            f"{name:4} of {size:,} items: plain torch {slow:.4f} s, compiled {fast:.4f} s, {slow / fast:.1f} times; "
            f"reading alone {floor:.4f} s; largest difference {apart:.1e}"
        )


if __name__ == "__main__":
    main()
