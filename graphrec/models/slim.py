"""SLIM: a sparse linear item–item model, one elastic net an item, by coordinate descent.

I items, U users, n weights kept of an item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from graphrec.models.base import check_setting, searched
from graphrec.models.descent import solve_rows
from graphrec.models.item_item import ItemItem, ItemItemSettings, structure
from graphrec.sparse.cpu.threads import for_each_block

_BLOCK_WEIGHTS = 2**24  # weights held at once before they become sparse rows: 128 MB


@dataclass(frozen=True)
class SLIMSettings(ItemItemSettings):
    """Settings of SLIM.

    Args:
        lasso: λ ≥ 0, weight of the absolute weights; larger keeps fewer.
        ridge: β ≥ 0, weight of the squared weights.
        nonnegative: whether all weights must be ≥ 0, as in the paper.
    """

    lasso: float = searched(0.1, 0.01, 3.0, log=True)
    ridge: float = searched(100.0, 1.0, 1000.0, log=True)
    nonnegative: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("lasso", self.lasso, self.lasso >= 0, ">= 0")
        check_setting("ridge", self.ridge, self.ridge >= 0, ">= 0")


class SLIM(ItemItem):
    """For each item i: min ½‖x_i − Xw‖² + ½β‖w‖² + λ‖w‖₁ with w_i = 0 and w ≥ 0, X the interactions; s(i, j) = w_j.

    Ning & Karypis (2011), *SLIM: Sparse linear methods for top-N recommender systems*, eq. 4. Departures: w_j = 0 for
    items that nobody used together with i (which is exact for w ≥ 0, since the error only grows with them); at most
    ``neighbours`` weights are kept, those furthest from 0; descent ends when no weight moves by more than a thousandth
    of the largest.

    Args:
        graph: whose interactions are compared by ``fit``; it uses no knowledge.
        settings: a ``SLIMSettings``.
    """

    name: ClassVar[str] = "slim"
    Settings: ClassVar[type] = SLIMSettings

    def nearest(self) -> Iterator[sparse.csr_array]:
        seen = structure(self.graph.seen)
        users_of, size = seen.T.tocsr(), self.graph.num_items
        shape = tuple(part.astype(np.int64) for part in (users_of.indptr, users_of.indices, seen.indptr, seen.indices))
        count = max(1, min(self.settings.neighbours, size - 1))
        step = max(1, _BLOCK_WEIGHTS // count)
        for start in range(0, size, step):
            yield self._solve(start, min(start + step, size), count, shape)

    def _solve(self, start: int, stop: int, count: int, shape: tuple[np.ndarray, ...]) -> sparse.csr_array:
        """Weights of the items start..stop − 1."""
        users, items = self.graph.num_users, self.graph.num_items
        kept, weight = np.full((stop - start, count), items), np.zeros((stop - start, count), dtype=np.float32)
        rowptr = shape[0][start : stop + 1] - shape[0][start]

        def scratch() -> tuple[np.ndarray, ...]:
            floats = np.zeros(users, dtype=np.float32), np.zeros(items, dtype=np.float32)
            return *floats, np.full(items, -1), np.empty(items, dtype=np.int64)

        rules = self.settings.lasso, self.settings.ridge, self.settings.nonnegative
        for_each_block(solve_rows, rowptr, scratch, start, *shape, *map(np.float32, rules[:2]), rules[2], kept, weight)
        found = weight != 0
        return sparse.csr_array(
            (weight[found], kept[found], np.concatenate([[0], found.sum(axis=1).cumsum()])), shape=(stop - start, items)
        )
