"""How the rows of a graph are shared out among a kernel's programs: made once for a graph, then kept with it.

Rows of a recommender's graph hold anything from no edge to a million. So a row is cut into pieces of at most ``PIECE``
edges, and a program takes several pieces, a few edges of each at a time. The pieces are ordered by length, longest
first: those of one program then end together, and no long one is left for last. A row in one piece is written at
once. A hub, a row in several, leaves the results of its pieces in the slots of a buffer, which the same kernel then
merges: the slots of a hub are the edges of a row of their own (cut again, should there be many).

Nothing is added up in an order that depends on timing, so the same call gives the same bytes.

S pieces, N rows, E edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# Chosen by reasoning for chips with 64 thousand registers and 2048 threads a multiprocessor.
PIECE = 64  # edges: a program's work is at most 16 steps, against hundreds of steps of each multiprocessor
LANES = 4  # edges of a piece gathered at a time
TILE = 2048  # numbers that a program gathers at a time: four 16-byte loads for each of its 128 threads
MOST_PIECES = 32  # of a program, where vectors are narrow: more would leave multiprocessors without work
WARPS = 4

Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Pieces:
    """The rows of a graph, cut.

    Attributes:
        first: int64 [S], the first edge of each piece.
        count: int32 [S], its number of edges, 0 to ``PIECE``, in descending order.
        row: int32 [S], the row it belongs to.
        slot: int32 [S], where a hub's piece leaves its result; −1 for a row in one piece.
        num_slots: slots in use.
        hubs: the hubs' rows, with slots for edges, cut again; None where there is no hub.
    """

    first: Tensor
    count: Tensor
    row: Tensor
    slot: Tensor
    num_slots: int
    hubs: Pieces | None

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """What every kernel takes first."""
        return self.first, self.count, self.row, self.slot, len(self.first)

    def grid(self, tiling: dict[str, int]) -> tuple[int]:
        """As many programs as walk over all pieces."""
        return (-(-len(self.first) // tiling["PIECES"]),)


class ByType(NamedTuple):
    """The edges of a graph listed by type: a row a type, its edges' numbers in the order of the graph."""

    pieces: Pieces
    edge: Tensor  # int64 [E]


def tiling(heads: int, width: int, score_width: int = 0) -> dict[str, int]:
    """The kernels' constants for edges that carry vectors [H, W] and, if any, [H, Dq]: sizes that are powers of two.

    A program takes as many pieces as fill ``TILE``, within 1 and ``MOST_PIECES``.

    >>> tiling(heads=4, width=16)
    {'PIECES': 8, 'LANES': 4, 'HEADS': 4, 'WIDTH': 16}
    >>> tiling(heads=4, width=16, score_width=16)
    {'PIECES': 4, 'LANES': 4, 'HEADS': 4, 'WIDTH': 16, 'SCORE': 16}
    """
    head_block, width_block, score_block = map(_power_of_two, (heads, width, score_width))
    fitting = TILE // (LANES * head_block * _power_of_two(width_block + score_width))
    block = {"PIECES": min(max(fitting, 1), MOST_PIECES), "LANES": LANES, "HEADS": head_block, "WIDTH": width_block}
    return block | {"SCORE": score_block} if score_width else block


def pieces_of(rowptr: Tensor) -> Pieces:
    """The pieces of the graph whose row pointers these are, int64 [N + 1]."""
    return _kept(_pieces, rowptr, _cut_all)


def receivers_of(rowptr: Tensor) -> Tensor:
    """The row of each edge, int32 [E]."""
    return _kept(_receivers, rowptr, _list_receivers)


def by_type(edge_type: Tensor) -> ByType:
    """The edges of the graph whose types these are, int32 [E], listed by type."""
    return _kept(_by_type, edge_type, _sort_by_type)


# keyed by the graph's own tensors, which no one writes to, and gone with them
_pieces: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
_receivers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
_by_type: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _kept(cache: WeakTensorKeyDictionary, key: Tensor, make: Callable[[Tensor], Kept]) -> Kept:
    if key not in cache:
        cache[key] = make(key)
    return cache[key]


def _cut_all(rowptr: Tensor) -> Pieces:
    return _cut(rowptr[:-1], rowptr.diff(), torch.arange(len(rowptr) - 1, device=rowptr.device))


def _cut(first: Tensor, count: Tensor, row: Tensor) -> Pieces:
    """Cut rows, whose edges are ``first`` to ``first + count``, into pieces as even as can be."""
    num_pieces = (count + PIECE - 1).div(PIECE, rounding_mode="floor").clamp(min=1)
    even = (count + num_pieces - 1).div(num_pieces, rounding_mode="floor")
    owner = torch.arange(len(row), device=row.device).repeat_interleave(num_pieces)
    begin = (torch.arange(len(owner), device=row.device) - (num_pieces.cumsum(0) - num_pieces)[owner]) * even[owner]
    of_hub = (num_pieces > 1)[owner]
    slot = torch.where(of_hub, of_hub.cumsum(0) - 1, -1)
    length = torch.minimum(even[owner], count[owner] - begin)
    order = torch.sort(length, descending=True, stable=True).indices
    return Pieces(
        first=(first[owner] + begin)[order],
        count=length[order].int(),
        row=row[owner][order].int(),
        slot=slot[order].int(),
        num_slots=int(of_hub.sum()),
        hubs=_cut_hubs(num_pieces, row),
    )


def _cut_hubs(num_pieces: Tensor, row: Tensor) -> Pieces | None:
    hub = num_pieces > 1
    if not bool(hub.any()):
        return None
    slots = num_pieces[hub]
    return _cut(slots.cumsum(0) - slots, slots, row[hub])


def _list_receivers(rowptr: Tensor) -> Tensor:
    rows = torch.arange(len(rowptr) - 1, dtype=torch.int32, device=rowptr.device)
    return rows.repeat_interleave(rowptr.diff())


def _sort_by_type(edge_type: Tensor) -> ByType:
    rowptr = torch.nn.functional.pad(edge_type.bincount().cumsum(0), (1, 0))
    return ByType(_cut_all(rowptr), torch.sort(edge_type, stable=True).indices)


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()
