"""Item–item models: each item keeps the few items that speak for it, and a user's score is the sum over their items.

B users or items in a block, I items, U users, E kept neighbours of all items together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models.additive import AdditiveModel
from graphrec.models.base import check_setting, searched
from graphrec.models.recency import RecencySettings
from graphrec.sparse import CSR, sparse_product

_BLOCK_PAIRS = 2**22
"""Pairs of items held at once while fitting, at most (a single item's own pairs aside): about 150 MB."""


@dataclass(frozen=True)
class ItemItemSettings(RecencySettings):
    """What every item–item model shares.

    Args:
        neighbours: kept for each item, ≥ 1; memory and the time of ranking grow with it.
    """

    neighbours: int = searched(200, 20, 400, log=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("neighbours", self.neighbours, self.neighbours >= 1, ">= 1")


class ItemItem(AdditiveModel):
    """score(u, i) = Σ_j w_uj s(i, j) over u's items j, of which only i's nearest are kept; i itself is left out.

    A subclass says what s is, in ``nearest``.

    Args:
        graph: whose items are compared by ``fit``.
        settings: an ``ItemItemSettings``.

    Attributes:
        rowptr, col, value: the kept s as CSR, row the used item j, column the recommended item i; int64 [I + 1],
            int32 [E], float32 [E].
    """

    Settings: ClassVar[type] = ItemItemSettings
    rowptr: Tensor
    col: Tensor
    value: Tensor

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.register_buffer("rowptr", torch.zeros(graph.num_items + 1, dtype=torch.int64))
        self.register_buffer("col", torch.empty(0, dtype=torch.int32))
        self.register_buffer("value", torch.empty(0))
        self._checked: CSR | None = None

    @property
    def kept(self) -> CSR:
        """The kept s, [I, I]; checked when it is new, which reads all of it.

        Raises:
            UsageError: numbers that no item has.
        """
        known = self._checked
        if known is None or known.col is not self.col or known.rowptr is not self.rowptr:
            known = self._checked = CSR(self.rowptr, self.col, self.graph.num_items, value=self.value)
        return known

    @abstractmethod
    def nearest(self) -> Iterator[sparse.csr_array]:
        """Blocks of rows i, from the first item to the last, with the s(i, j) to keep, float32 [rows, I]."""

    def fit(self) -> None:
        """Compare all items, a block of them at a time, and keep each one's nearest (ties to the lower item)."""
        kept = turned(self.nearest(), self.graph.num_items)
        device = self.graph.device
        self.rowptr = torch.from_numpy(kept.indptr.astype(np.int64)).to(device)
        self.col = torch.from_numpy(kept.indices.astype(np.int32)).to(device)
        self.value = torch.from_numpy(kept.data).to(device)

    def summed(self, weighted: CSR) -> Tensor:
        return sparse_product(weighted, self.kept)

    def similarity_block(self, items: Tensor) -> Tensor:
        """The items' kept neighbours, and each item's likeness to itself."""
        rows = items.cpu().numpy()
        block = self._as_scipy()[:, rows].T.toarray()
        block[np.arange(len(rows)), rows] = self.own_likeness(rows, block.max(axis=1, initial=0))
        return torch.from_numpy(block).to(self.value.device)

    def own_likeness(self, rows: np.ndarray, largest: np.ndarray) -> np.ndarray:
        """How like some items are to themselves: as like as their nearest, which s itself does not say.

        Args:
            rows: int64 [B], item numbers.
            largest: float32 [B], the likeness of each one's nearest; 0 for an item without neighbours.

        Returns:
            float32 [B], no less than ``largest``.
        """
        return largest

    def added(self, used: Tensor, item: int) -> Tensor:
        found = self._as_scipy()[used.cpu().numpy()][:, [item]].toarray()[:, 0]
        return torch.from_numpy(found).to(self.value.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take the number of kept neighbours from the state, since a model that is not fitted has none."""
        for name in ("col", "value"):
            if prefix + name in state_dict:
                setattr(self, name, getattr(self, name).new_empty(len(state_dict[prefix + name])))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _as_scipy(self) -> sparse.csr_array:
        """The neighbours as a scipy matrix that shares their memory on a CPU."""
        parts = (self.value.cpu().numpy(), self.col.cpu().numpy(), _offsets(self.rowptr))
        return sparse.csr_array(parts, shape=(self.graph.num_items, self.graph.num_items))


def turned(blocks: Iterator[sparse.csr_array], num_items: int) -> sparse.csr_array:
    """The transpose of blocks of rows that stand below each other, its columns sorted."""
    whole = sparse.vstack([sparse.csr_array((0, num_items), dtype=np.float32), *blocks], format="csr").T.tocsr()
    whole.sort_indices()
    return whole


def structure(csr: CSR) -> sparse.csr_array:
    """The structure of a CSR as a scipy matrix of ones, float32."""
    ones = np.ones(csr.num_edges, dtype=np.float32)
    return sparse.csr_array((ones, csr.col.cpu().numpy(), _offsets(csr.rowptr)), shape=(csr.num_rows, csr.num_cols))


def _offsets(rowptr: Tensor) -> np.ndarray:
    """Row pointers as wide as the columns where they fit: else scipy copies all columns to theirs at every product."""
    offsets = rowptr.cpu().numpy()
    return offsets.astype(np.int32) if offsets[-1] <= np.iinfo(np.int32).max else offsets


def products(left: sparse.csr_array, right: sparse.csr_array) -> Iterator[tuple[np.ndarray, sparse.csr_array]]:
    """left @ right, a block of rows at a time; never more than about ``_BLOCK_PAIRS`` of its entries at once.

    Args:
        left: [I, F].
        right: [F, I].

    Yields:
        The row of each entry of the block, int64, and the block's rows with sorted columns.

    >>> one = sparse.csr_array(np.array([[1.0, 0.0], [2.0, 1.0]]))
    >>> [(rows.tolist(), block.toarray().tolist()) for rows, block in products(one, one)]
    [([0, 1, 1], [[1.0, 0.0], [4.0, 1.0]])]
    """
    size = np.diff(right.indptr)
    pairs = sparse.csr_array((np.ones(left.nnz), left.indices, left.indptr), shape=left.shape) @ size
    for start, stop in _ranges(np.minimum(pairs, right.shape[1])):
        block = (left[start:stop] @ right).tocsr()
        block.sort_indices()
        yield np.repeat(np.arange(start, stop), np.diff(block.indptr)), block


def _ranges(pairs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of rows that hold at most ``_BLOCK_PAIRS`` pairs together, or one row each."""
    before = np.concatenate([[0], pairs.astype(np.int64).cumsum()])
    start = 0
    while start < len(pairs):
        stop = int(np.searchsorted(before, before[start] + _BLOCK_PAIRS, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def keep_largest(block: sparse.csr_array, count: int) -> sparse.csr_array:
    """The ``count`` entries of each row that are furthest from 0, ties to the lower column; columns must be sorted.

    >>> block = sparse.csr_array(np.array([[1.0, -3.0, 1.0, 2.0]]))
    >>> keep_largest(block, 3).toarray().tolist()
    [[1.0, -3.0, 0.0, 2.0]]
    """
    size = np.abs(block.data)
    keep = size > 0
    for row in np.flatnonzero(np.diff(block.indptr) > count):
        part = slice(block.indptr[row], block.indptr[row + 1])
        values = size[part]
        limit = np.partition(values, len(values) - count)[len(values) - count]
        above, equal = values > limit, values == limit
        above |= equal & (equal.cumsum() <= count - above.sum())
        keep[part] &= above
    kept_before = np.concatenate([[0], keep.cumsum()])
    return sparse.csr_array((block.data[keep], block.indices[keep], kept_before[block.indptr]), shape=block.shape)
