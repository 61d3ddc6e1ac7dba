"""ItemKNN: an item is recommended because the user's items have been used by the same people.

B items in a block, I items, U users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from graphrec.models.base import check_setting, searched
from graphrec.models.item_item import ItemItem, ItemItemSettings, keep_largest, products, structure

WEIGHTINGS = ("none", "tfidf", "bm25")
_K1, _B = 1.2, 0.75  # of BM25, as published comparisons have them


@dataclass(frozen=True)
class ItemKNNSettings(ItemItemSettings):
    """Settings of the item–item neighbourhood model.

    Args:
        shrink: how many average users are added to the denominator, ≥ 0; pairs with little evidence count less.
        damping: ≥ 0; a user of d items has weight d^−damping, so that people who use everything say less.
        balance: α in [0, 1], the exponent of the recommended item in the denominator; the used item has 1 − α.
        weighting: ``none``; ``tfidf``, by which a user's weight is multiplied by the squared logarithm of how rare
            their rows are; or ``bm25``, by which items that many use are held down, too.
    """

    shrink: float = searched(12.0, 0.0, 50.0)
    damping: float = searched(0.5, 0.0, 1.0)
    balance: float = searched(0.4, 0.2, 0.7)
    weighting: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("shrink", self.shrink, self.shrink >= 0, ">= 0")
        check_setting("damping", self.damping, self.damping >= 0, ">= 0")
        check_setting("balance", self.balance, 0 <= self.balance <= 1, "in [0, 1]")
        check_setting("weighting", self.weighting, self.weighting in WEIGHTINGS, " or ".join(WEIGHTINGS))


class ItemKNN(ItemItem):
    """score(u, i) = Σ_j w_uj s(i, j) over those of u's items j that are among i's nearest, i itself left out.

    s(i, j) = c(i, j) / (c(i, i)^α · c(j, j)^(1−α) + shrink · w̄),  c(i, j) = Σ_v w_v over the users v of both items,
    w_v = d_v^−damping, and w̄ its mean over users. At α = ½, damping 0, shrink 0 it is the cosine (Sarwar et al. 2001);
    α is the asymmetric cosine of Aiolli (2013).

    With ``tfidf`` w_v is multiplied by ln²(I / (1 + d_v)), and with ``bm25``, besides, c(i, j) by b_i b_j, where
    b_i = (k₁ + 1) / (k₁ (1 − b + b d_i / d̄) + 1), k₁ = 1.2, b = 0.75 and d̄ the mean of the items' d_i: the weights of
    Ferrari Dacrema et al. (2021), for whom an item is a text and its users are the words. Departure: they weigh what
    the user has used in the same way when scoring; here that is left as it is.

    Args:
        graph: whose interactions are compared by ``fit``; it uses no knowledge.
        settings: an ``ItemKNNSettings``.
    """

    name: ClassVar[str] = "item_knn"
    Settings: ClassVar[type] = ItemKNNSettings

    def nearest(self) -> Iterator[sparse.csr_array]:
        seen, weights, factor = structure(self.graph.seen), self._user_weights(), self._item_factors()
        weighted = sparse.diags_array(weights, format="csr") @ seen @ sparse.diags_array(factor, format="csr")
        users_of = sparse.diags_array(factor, format="csr") @ seen.T.tocsr()
        norm, shrinkage, balance = self._norms(), self._shrinkage(), self.settings.balance
        target, source = norm**balance, norm ** (1 - balance)
        for row, block in products(users_of, weighted):
            block.data /= target[row] * source[block.indices] + shrinkage
            block.data[row == block.indices] = 0
            yield keep_largest(block, self.settings.neighbours)

    def own_likeness(self, rows: np.ndarray, largest: np.ndarray) -> np.ndarray:
        """s(i, i), which no other reaches."""
        own = self._norms()[rows]
        return own / np.maximum(own + self._shrinkage(), np.finfo(np.float32).tiny)

    def _user_weights(self) -> np.ndarray:
        """w_v, float32 [U]."""
        degree = self.graph.seen.degree.cpu().numpy()
        weights = np.maximum(degree, 1.0) ** -self.settings.damping
        if self.settings.weighting != "none":
            weights = weights * np.log(max(self.graph.num_items, 1) / (1 + degree)) ** 2
        return weights.astype(np.float32)

    def _item_factors(self) -> np.ndarray:
        """b_i, or 1 where nothing holds popular items down, float32 [I]."""
        popularity = structure(self.graph.seen).sum(axis=0)
        if self.settings.weighting != "bm25" or not popularity.any():
            return np.ones(self.graph.num_items, dtype=np.float32)
        length = 1 - _B + _B * popularity / popularity.mean()
        return ((_K1 + 1) / (_K1 * length + 1)).astype(np.float32)

    def _norms(self) -> np.ndarray:
        """c(i, i), float32 [I]."""
        return self._item_factors() ** 2 * (structure(self.graph.seen).T @ self._user_weights())

    def _shrinkage(self) -> np.float32:
        weights = self._user_weights()
        return np.float32(self.settings.shrink * weights.mean() if len(weights) else 0.0)
