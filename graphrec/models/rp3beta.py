"""RP3β: a walk of three steps from a user to an item that they have not used, with less regard for popularity.

I items, U users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from graphrec.models.base import check_setting, searched
from graphrec.models.item_item import ItemItem, ItemItemSettings, keep_largest, products, structure, turned


@dataclass(frozen=True)
class RP3BetaSettings(ItemItemSettings):
    """Settings of RP3β.

    Args:
        alpha: α ≥ 0, the power to which each step's probability is raised; 1 is the plain walk.
        beta: β ≥ 0; an item of d users is divided by d^β, so that what everybody uses comes up less.
        normalize: whether what is kept of a used item is divided by its sum, so that each speaks as loudly.
    """

    alpha: float = searched(0.5, 0.3, 1.5)
    beta: float = searched(0.1, 0.0, 0.7)
    normalize: bool = searched(False, choices=(False, True))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("alpha", self.alpha, self.alpha >= 0, ">= 0")
        check_setting("beta", self.beta, self.beta >= 0, ">= 0")


class RP3Beta(ItemItem):
    """score(u, i) = Σ_j w_uj s(i, j) over u's items j,  s(i, j) = d_i^−β Σ_v (P_jv · P_vi)^α over users v of both.

    P_jv = 1/d_j is the chance of a step from item j to one of its d_j users, P_vi = 1/d_v that of one from user v to
    one of their d_v items (Cooper et al. 2014, *Random walks in recommender systems*, who raise them to α; Paudel et
    al. 2017, *Updatable, accurate, diverse, and scalable recommendations for interactive applications*, who divide by
    popularity). As in the published evaluations (Ferrari Dacrema et al. 2021, from whom ``normalize`` is, too), each
    used item keeps the ``neighbours`` items that it speaks most for, and of what is left each recommended item keeps
    the ``neighbours`` that speak most for it. Departures: the first step, from the user to one of their items, is left
    out, since it is the same number for all items; the walk does not return to the item it was at.

    Args:
        graph: whose interactions are walked by ``fit``; it uses no knowledge.
        settings: an ``RP3BetaSettings``.
    """

    name: ClassVar[str] = "rp3beta"
    Settings: ClassVar[type] = RP3BetaSettings

    def nearest(self) -> Iterator[sparse.csr_array]:
        yield keep_largest(turned(self._spoken_for(), self.graph.num_items), self.settings.neighbours)

    def _spoken_for(self) -> Iterator[sparse.csr_array]:
        """Blocks of rows j with the s(i, j) that used items keep."""
        seen = structure(self.graph.seen)
        users_of, degree = seen.T.tocsr(), np.maximum(np.diff(seen.indptr), 1.0)
        popularity = np.maximum(np.diff(users_of.indptr), 1.0)
        step = sparse.diags_array((degree**-self.settings.alpha).astype(np.float32), format="csr") @ seen
        start = (popularity**-self.settings.alpha).astype(np.float32)
        end = (popularity**-self.settings.beta).astype(np.float32)
        for row, block in products(users_of, step):
            block.data *= start[row] * end[block.indices]
            block.data[row == block.indices] = 0
            kept = keep_largest(block, self.settings.neighbours)
            if self.settings.normalize:
                kept.data /= np.repeat(kept.sum(axis=1), np.diff(kept.indptr))
            yield kept
