"""EASE: the linear item–item model with the least squared error, in closed form.

I items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphrec.data.large.memory import available_memory
from graphrec.errors import SettingError
from graphrec.graph import HeteroGraph
from graphrec.models.base import check_setting, searched
from graphrec.models.inverse import invert_, symmetric_rows
from graphrec.models.item_item import ItemItem, ItemItemSettings, keep_largest, products, structure

_BLOCK_ENTRIES = 2**22
"""Entries of the inverse that are looked through at once."""
_ENTRY_BYTES = 36
"""Of an entry of such a block with all that is made of it: 150 MB in all."""
_KEPT_BYTES = 12
"""Of a kept weight: float32, and an int64 column."""


@dataclass(frozen=True)
class EASESettings(ItemItemSettings):
    """Settings of EASE.

    Args:
        ridge: λ > 0, weight of the squared weights beside the squared error.
    """

    ridge: float = searched(300.0, 10.0, 3000.0, log=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("ridge", self.ridge, self.ridge > 0, "> 0")


class EASE(ItemItem):
    """min ‖X − XB‖² + λ‖B‖² with diag B = 0, X the interactions: B = I − P · diag(1 / diag P), P = (XᵀX + λI)⁻¹.

    Steck (2019), *Embarrassingly shallow autoencoders for sparse data*, eq. 8. The score of item i for user u is
    Σ_j B_ji over u's items j. Departure: each item keeps the ``neighbours`` weights furthest from 0; as many as there
    are items keeps all. P is computed in place, in float32: one array of I × I numbers and no second one.

    Args:
        graph: whose interactions are compared by ``fit``; it uses no knowledge.
        settings: an ``EASESettings``.
    """

    name: ClassVar[str] = "ease"
    Settings: ClassVar[type] = EASESettings

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        if reason := super().obstacle(graph, settings):
            return reason
        size, count = graph.num_items, max(0, min(settings.neighbours, graph.num_items - 1))
        needed, free = _peak(size, count), available_memory()
        if needed <= free:
            return None
        return (
            f"its matrix of {size:,} × {size:,} items and {count:,} kept weights an item need {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free"
        )

    def nearest(self) -> Iterator[sparse.csr_array]:
        inverse = self._inverse()
        diagonal = inverse.diagonal().clone()
        step = max(1, _BLOCK_ENTRIES // max(1, len(inverse)))
        for start in range(0, len(inverse), step):
            stop = min(start + step, len(inverse))
            block = symmetric_rows(inverse, start, stop) / -diagonal[start:stop, None]
            block[:, start:stop].fill_diagonal_(0)
            yield keep_largest(sparse.csr_array(block.numpy()), self.settings.neighbours)

    def _inverse(self) -> Tensor:
        """P, float32 [I, I], right on and above the diagonal."""
        gram = self._gram()
        if not invert_(gram):
            raise SettingError(
                f"ridge {self.settings.ridge} is too small for float32 on this data", "give a larger one"
            )
        return gram

    def _gram(self) -> Tensor:
        """XᵀX + λI, float32 [I, I]."""
        seen = structure(self.graph.seen)
        gram = np.zeros((self.graph.num_items, self.graph.num_items), dtype=np.float32)
        for row, block in products(seen.T.tocsr(), seen):
            gram[row, block.indices] = block.data
        gram.flat[:: len(gram) + 1] += self.settings.ridge
        return torch.from_numpy(gram)


def _peak(size: int, count: int) -> int:
    """The most bytes that fitting takes, but for about 4 kB an item of the inversion's panels.

    The matrix goes when the last weights are kept; then these are there twice, while they are turned. A block's memory
    is not given back by then.
    """
    matrix, kept, block = 4 * size**2, _KEPT_BYTES * size * count, _ENTRY_BYTES * min(_BLOCK_ENTRIES, size**2)
    return max(matrix, kept) + kept + block
