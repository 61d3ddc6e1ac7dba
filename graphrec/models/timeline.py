"""Histories in the order of use.

R histories, I items, L places in a sequence, E pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.ranking import entries
from graphrec.sparse import CSR


@dataclass(frozen=True, eq=False)
class Timeline:
    """What some people have used, each one's items oldest first.

    Args:
        items: CSR [R, I], the columns of a row in the order of use; of one time by item number.
        times: of each of its pairs, int64 [E]; None where the order alone is known.
    """

    items: CSR
    times: Tensor | None

    @classmethod
    def of_graph(cls, graph: HeteroGraph) -> Timeline:
        """Everybody's in a graph; without times in the order of items."""
        return cls(graph.seen, None) if graph.times is None else cls._sorted(graph.seen, graph.times, graph.times)

    @classmethod
    def of_history(cls, history: CSR) -> Timeline:
        """That of histories whose values, if any, are places in the order of use, which leaves the times unknown."""
        return cls(history, None) if history.value is None else cls._sorted(history, history.value, None)

    @classmethod
    def _sorted(cls, used: CSR, by: Tensor, times: Tensor | None) -> Timeline:
        order = _in_order(used, by)
        items = CSR.unchecked(used.rowptr, used.col[order], used.num_cols)
        return cls(items, None if times is None else times[order])

    def take(self, rows: Tensor) -> Timeline:
        """That of some people, in the order given; ``rows`` is int64 [R]."""
        offsets, columns = entries(self.items, rows)
        times = self.times
        if times is not None:
            shift = (self.items.rowptr[rows] - offsets[:-1]).repeat_interleave(offsets.diff())
            times = times[shift + torch.arange(len(shift), device=shift.device)]
        return Timeline(CSR.unchecked(offsets, columns, self.items.num_cols), times)

    def without(self, removed: Tensor) -> Timeline:
        """The rest, without the pairs that are True in a bool [E]."""
        times = None if self.times is None else self.times[~removed]
        return Timeline(self.items.without_edges(removed), times)

    def windows(self, length: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """The newest items of each person.

        Args:
            length: L, at most so many.

        Returns:
            items int64 [R, L'], oldest first, −1 behind the newest; how many there are, int64 [R]; and the time since
            the item before, int64 [R, L'], 0 for the first, or None where the order alone is known.
        """
        count = self.items.degree.clamp(max=length)
        width = int(count.max()) if len(count) else 0
        place = torch.arange(width, device=count.device)
        edge = (self.items.rowptr[1:] - count)[:, None] + place
        there = place < count[:, None]
        edge = edge.masked_fill(~there, 0)
        items = self.items.col.long()[edge].masked_fill(~there, -1) if self.items.num_edges else edge - 1
        if self.times is None or not width:
            return items, count, None
        gaps = self.times[edge].diff(dim=1, prepend=self.times[edge[:, :1]]).clamp(min=0)
        return items, count, gaps.masked_fill(~there, 0)


def has_times(graph: HeteroGraph) -> bool:
    """Whether anything is known of when something was used."""
    return graph.times is not None and bool((graph.times >= 0).any())


def older(used: CSR, by: Tensor) -> Tensor:
    """How many pairs of its row are smaller than each pair, int64 [E].

    Args:
        used: CSR [R, I].
        by: a number for each of its pairs, [E].

    >>> used = CSR.from_pairs(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 2, 4, 3]), 2, 5)
    >>> older(used, torch.tensor([7, 5, 7, 2]))
    tensor([1, 0, 1, 0])
    """
    order = _in_order(used, by)
    row, by = used.row_index()[order], by[order]
    place = torch.arange(len(order), device=order.device)
    repeats = torch.zeros_like(row, dtype=torch.bool)
    repeats[1:] = (row[1:] == row[:-1]) & (by[1:] == by[:-1])
    first = place.masked_fill(repeats, 0).cummax(dim=0).values
    return torch.empty_like(place).index_copy_(0, order, first - used.rowptr[row])


def _in_order(used: CSR, by: Tensor) -> Tensor:
    """The numbers of the pairs, row after row, those of a row from the smallest to the largest; int64 [E]."""
    order = by.argsort(stable=True)
    return order[used.row_index()[order].argsort(stable=True)]
