"""Models whose score is a sum over what a user has used.

B users in a block, I items, U users.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models.base import Model
from graphrec.models.recency import RecencySettings, in_order, recency_obstacle, recency_weight
from graphrec.sparse import CSR


class AdditiveModel(Model):
    """score(u, i) = Σ_j w_uj s(i, j) over u's items j,  w_uj = (1 + n_uj)^−ρ, where n_uj of u's items are newer than j.

    A subclass says what s is, in ``summed`` and ``added``; ρ is no part of it, so that fitting is the same.

    Args:
        graph: whose interactions are summed over, and for ρ > 0 their times.
        settings: a ``RecencySettings``.
    """

    Settings: ClassVar[type] = RecencySettings

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        return recency_obstacle(graph, settings)

    @abstractmethod
    def summed(self, weighted: CSR) -> Tensor:
        """Sums of s over the items of some people, each times its value.

        Args:
            weighted: [B, I], a row a person; without values each item counts 1.

        Returns:
            float32 [B, I].
        """

    @abstractmethod
    def added(self, used: Tensor, item: int) -> Tensor:
        """s of some used items for one item, float32 [n].

        Args:
            used: int32 [n], the used items.
            item: the item scored.
        """

    @cached_property
    def used(self) -> CSR:
        """What everybody has used, as ``fold_in`` takes it."""
        return in_order(self.graph, self.settings.recency)

    def score_block(self, users: Tensor) -> Tensor:
        return self.fold_in(self.used.take_rows(users))

    def fold_in(self, history: CSR) -> Tensor:
        """As for known users; without places in the order of use all items count alike."""
        plain = self.settings.recency == 0 or history.value is None
        return self.summed(history.with_value(None if plain else recency_weight(history, self.settings.recency)))

    def contributions(self, history: CSR, item: int) -> Tensor:
        """What each used item of one person adds to the score of an item.

        Args:
            history: [1, I], as ``fold_in`` takes it.
            item: the item scored.

        Returns:
            float32 [n], in the order of the history; their sum is the score.
        """
        return self.added(history.col, item) * recency_weight(history, self.settings.recency)
