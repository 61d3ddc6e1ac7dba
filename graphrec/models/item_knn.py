"""ItemKNN: an item is recommended because the user's items have been used by the same people.

B users or items in a block, I items, U users, E kept neighbours of all items together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models.base import Model, check_setting
from graphrec.models.calibration import rows_of
from graphrec.sparse import CSR

_BLOCK_PAIRS = 2**22
"""Pairs of items held at once while fitting, at most (a single item's own pairs aside): about 150 MB."""


@dataclass(frozen=True)
class ItemKNNSettings:
    """Settings of the item–item neighbourhood model.

    Args:
        neighbours: kept for each item, ≥ 1.
        shrink: how many average users are added to the denominator, ≥ 0; pairs with little evidence count less.
        damping: ≥ 0; a user of d items has weight d^−damping, so that people who use everything say less.
        balance: α in [0, 1], the exponent of the recommended item in the denominator; the used item has 1 − α.
    """

    neighbours: int = 200
    shrink: float = 12.0
    damping: float = 0.5
    balance: float = 0.4

    def __post_init__(self) -> None:
        check_setting("neighbours", self.neighbours, self.neighbours >= 1, ">= 1")
        check_setting("shrink", self.shrink, self.shrink >= 0, ">= 0")
        check_setting("damping", self.damping, self.damping >= 0, ">= 0")
        check_setting("balance", self.balance, 0 <= self.balance <= 1, "in [0, 1]")


class ItemKNN(Model):
    """score(u, i) = Σ_j s(i, j) over those of u's items j that are among i's nearest neighbours, i itself left out.

    s(i, j) = c(i, j) / (c(i, i)^α · c(j, j)^(1−α) + shrink · w̄),  c(i, j) = Σ_v w_v over the users v of both items,
    w_v = d_v^−damping, and w̄ its mean over users. At α = ½, damping 0, shrink 0 it is the cosine (Sarwar et al. 2001);
    α is the asymmetric cosine of Aiolli (2013).

    Args:
        graph: whose interactions are compared by ``fit``; it uses no knowledge.
        settings: an ``ItemKNNSettings``.

    Attributes:
        rowptr, col, value: the kept s as CSR, row the used item j, column the recommended item i; int64 [I + 1],
            int32 [E], float32 [E].
    """

    name: ClassVar[str] = "item_knn"
    Settings: ClassVar[type] = ItemKNNSettings
    rowptr: Tensor
    col: Tensor
    value: Tensor

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.register_buffer("rowptr", torch.zeros(graph.num_items + 1, dtype=torch.int64))
        self.register_buffer("col", torch.empty(0, dtype=torch.int32))
        self.register_buffer("value", torch.empty(0))

    def fit(self) -> None:
        """Compare all items, a block of them at a time, and keep each one's nearest (ties to the lower item)."""
        nearest = sparse.vstack(list(self._nearest()), format="csr").T.tocsr()
        nearest.sort_indices()
        device = self.graph.device
        self.rowptr = torch.from_numpy(nearest.indptr.astype(np.int64)).to(device)
        self.col = torch.from_numpy(nearest.indices.astype(np.int32)).to(device)
        self.value = torch.from_numpy(nearest.data).to(device)

    def score_block(self, users: Tensor) -> Tensor:
        return self._scores(_scipy(rows_of(self.graph.seen, users)))

    def fold_in(self, history: CSR) -> Tensor:
        return self._scores(_scipy(history))

    def similarity_block(self, items: Tensor) -> Tensor:
        """The items' kept neighbours; an item is as like itself as s(i, i) says, which no other reaches."""
        rows = items.cpu().numpy()
        block = self._kept()[:, rows].T.toarray()
        own = self._co_occurrence_norms()[rows]
        block[np.arange(len(rows)), rows] = own / np.maximum(own + self._shrinkage(), np.finfo(np.float32).tiny)
        return torch.from_numpy(block).to(self.value.device)

    def contributions(self, history_items: Tensor, item: int) -> Tensor:
        """What each used item adds to the score of one item.

        Args:
            history_items: integers [n], the used items.
            item: the item scored.

        Returns:
            float32 [n]; their sum is the score of someone with exactly this history.
        """
        added = self._kept()[history_items.cpu().numpy()][:, [item]].toarray()[:, 0]
        return torch.from_numpy(added).to(self.value.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take the number of kept neighbours from the state, since a model that is not fitted has none."""
        for name in ("col", "value"):
            if prefix + name in state_dict:
                setattr(self, name, getattr(self, name).new_empty(len(state_dict[prefix + name])))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _scores(self, history: sparse.csr_array) -> Tensor:
        return torch.from_numpy((history @ self._kept()).toarray()).to(self.value.device)

    def _kept(self) -> sparse.csr_array:
        """The neighbours as a scipy matrix that shares their memory on a CPU."""
        parts = tuple(part.cpu().numpy() for part in (self.value, self.col, self.rowptr))
        return sparse.csr_array(parts, shape=(self.graph.num_items, self.graph.num_items))

    def _user_weights(self) -> np.ndarray:
        degree = self.graph.seen.degree.cpu().numpy()
        return (np.maximum(degree, 1) ** -self.settings.damping).astype(np.float32)

    def _co_occurrence_norms(self) -> np.ndarray:
        """c(i, i), float32 [I]."""
        return _scipy(self.graph.seen).T @ self._user_weights()

    def _shrinkage(self) -> np.float32:
        weights = self._user_weights()
        return np.float32(self.settings.shrink * weights.mean() if len(weights) else 0.0)

    def _nearest(self) -> Iterator[sparse.csr_array]:
        """Blocks of rows i with the kept s(i, j)."""
        seen, weights = _scipy(self.graph.seen), self._user_weights()
        users_of = seen.T.tocsr()
        weighted = seen.copy()
        weighted.data = np.repeat(weights, np.diff(seen.indptr))
        norm, shrinkage, balance = self._co_occurrence_norms(), self._shrinkage(), self.settings.balance
        target, source = norm**balance, norm ** (1 - balance)
        for start, stop in _blocks(users_of @ np.diff(seen.indptr), self.graph.num_items):
            block = (users_of[start:stop] @ weighted).tocsr()
            block.sort_indices()
            row = np.repeat(np.arange(start, stop), np.diff(block.indptr))
            block.data /= target[row] * source[block.indices] + shrinkage
            block.data[row == block.indices] = 0
            yield _keep_largest(block, self.settings.neighbours)


def _scipy(csr: CSR) -> sparse.csr_array:
    """The structure of a CSR, with ones."""
    ones = np.ones(csr.num_edges, dtype=np.float32)
    return sparse.csr_array((ones, csr.col.cpu().numpy(), csr.rowptr.cpu().numpy()), shape=(csr.num_rows, csr.num_cols))


def _blocks(pairs: np.ndarray, num_items: int) -> Iterator[tuple[int, int]]:
    """Ranges of items whose rows hold at most ``_BLOCK_PAIRS`` pairs together, or one item each.

    ``pairs`` bounds each row from above.
    """
    before = np.concatenate([[0], np.minimum(pairs, num_items).astype(np.int64).cumsum()])
    start = 0
    while start < num_items:
        stop = int(np.searchsorted(before, before[start] + _BLOCK_PAIRS, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def _keep_largest(block: sparse.csr_array, count: int) -> sparse.csr_array:
    """The ``count`` largest positive entries of each row, ties to the lower column; columns must be sorted."""
    keep = block.data > 0
    for row in np.flatnonzero(np.diff(block.indptr) > count):
        part = slice(block.indptr[row], block.indptr[row + 1])
        values = block.data[part]
        limit = np.partition(values, len(values) - count)[len(values) - count]
        above, equal = values > limit, values == limit
        above |= equal & (equal.cumsum() <= count - above.sum())
        keep[part] &= above
    kept_before = np.concatenate([[0], keep.cumsum()])
    return sparse.csr_array((block.data[keep], block.indices[keep], kept_before[block.indptr]), shape=block.shape)
