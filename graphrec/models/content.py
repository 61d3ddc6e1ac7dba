"""Content: an item is what its text, numbers and pictures say, and a user is the items used.

B pairs in a batch, I items, U users, D numbers of a modality, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from graphrec.errors import CombinationError
from graphrec.graph import HeteroGraph
from graphrec.layers import ModalityAttention
from graphrec.losses import l2_penalty
from graphrec.models.base import check_setting, searched
from graphrec.models.objective import PAIRED, negatives_of, ranking_loss
from graphrec.models.vectors import VectorModel
from graphrec.sampling import Batch
from graphrec.sparse import CSR, spmm


@dataclass(frozen=True)
class ContentSettings:
    """The settings of the content model.

    Args:
        width: of a vector, W ≥ 1.
        loss: ``softmax`` (sampled softmax on cosines, against the batch's items or a pool), or ``bpr``.
        temperature: τ > 0 of the softmax loss.
        l2: weight ≥ 0 of the squared vectors of a batch.
        attention: whether the weights of the modalities are learned; without it they are equal.
    """

    width: int = 64
    loss: str = "softmax"
    temperature: float = searched(0.15, 0.05, 0.5, log=True)
    l2: float = searched(3e-3, 1e-6, 1e-1, log=True)
    attention: bool = True

    def __post_init__(self) -> None:
        check_setting("width", self.width, self.width >= 1, ">= 1")
        check_setting("loss", self.loss, self.loss in ("softmax", "bpr"), "softmax or bpr")
        check_setting("temperature", self.temperature, self.temperature > 0, "> 0")
        check_setting("l2", self.l2, self.l2 >= 0, ">= 0")


class Content(VectorModel):
    """v_i = attention over its modalities (``ModalityAttention``),  u = b_u + the mean of v_j over u's items j.

    b_u is the same attention over the user's own modalities, 0 without any. The score is ⟨u, v_i⟩: items that nobody
    has used are scored like any other, and a newcomer is the mean of the items used.

    The content half of two-tower models (Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item
    recommendations", §3). Departures: one linear map for each modality in place of deep towers; attention over the
    modalities in place of concatenation; the user's tower is the mean over the items' (FISM, Kabbur, Ning & Karypis
    2013), and as there, the item of a pair is left out of its user's mean in training.

    Args:
        graph: users and items with features; of its edges the interactions alone are used.
        settings: a ``ContentSettings``.

    Attributes:
        of_items, of_users: the attention over the modalities of items, and of users where they have some.
    """

    name: ClassVar[str] = "content"
    Settings: ClassVar[type] = ContentSettings

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph.interactions_only(), settings)
        self.of_items = ModalityAttention(_widths(self.graph, "item"), settings.width)
        self.of_users = ModalityAttention(_widths(self.graph, "user"), settings.width)

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        """Without features of items there is nothing to score them by."""
        return None if graph.features.get("item") else "the data has no features of items"

    def reset(self, generator: torch.Generator) -> None:
        for side, kind in ((self.of_items, "item"), (self.of_users, "user")):
            side.reset(self.graph.features.get(kind, {}), generator)
            for query in side.query.values():
                query.requires_grad_(self.settings.attention)

    @property
    def paired(self) -> bool:
        return self.settings.loss in PAIRED

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": trained, "lr": learning_rate}]

    @torch.no_grad()
    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        """The maps and the attention; the features of known nodes must be what they were.

        Raises:
            UsageError: they are not: words and their directions were found anew, say.
        """
        for kind in ("item", "user"):
            _check_same(self.graph, other.graph, kind, now, before)
        self.load_state_dict(other.state_dict())

    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        items = self._items()
        users = self._with_own(mean_of_used(self.graph.seen, items), slice(None))
        return torch.cat([users, items])

    def loss(self, batch: Batch) -> Tensor:
        items, degree = self._items(), self.graph.seen.degree[batch.user, None]
        positive = items[batch.positive]
        others = spmm(self.graph.seen, items)[batch.user] - positive
        user = self._with_own(others / (degree - 1).clamp(min=1), batch.user)
        negative = items[negatives_of(self.settings.loss, batch)]
        value = ranking_loss(self.settings, self.graph.seen, batch, user, positive, negative)
        return value + self.settings.l2 * l2_penalty(user, positive)

    def fold_in_vectors(self, history: CSR) -> Tensor:
        return mean_of_used(history, self.item_vectors())

    def _items(self) -> Tensor:
        """v, [I, W]."""
        return self.of_items(self.graph.features["item"])

    def _with_own(self, used: Tensor, users: Tensor | slice) -> Tensor:
        """b added to the means of these users."""
        known = self.graph.features.get("user")
        return used + self.of_users(known)[users] if known else used


def mean_of_used(history: CSR, items: Tensor) -> Tensor:
    """The mean of the vectors of each row's items, 0 for a row without any.

    Args:
        history: [B, I]; its values, which may be places in the order of use, do not count.
        items: float [I, W].
    """
    return spmm(replace(history, value=None), items) / history.degree.clamp(min=1)[:, None]


def _widths(graph: HeteroGraph, kind: str) -> Mapping[str, int]:
    return {name: tensor.shape[1] for name, tensor in graph.features.get(kind, {}).items()}


def _check_same(graph: HeteroGraph, other: HeteroGraph, kind: str, now: Tensor, before: Tensor) -> None:
    """Refuse features that are not those that the projections were learned for."""
    mine, theirs = graph.features.get(kind, {}), other.features.get(kind, {})
    first, first_before, stop = graph.first(kind), other.first(kind), graph.first(kind) + graph.count(kind)
    own = (now >= first) & (now < stop)
    here, there = now[own] - first, before[own] - first_before
    same = mine.keys() == theirs.keys() and all(
        mine[name].shape[1] == theirs[name].shape[1]
        and torch.allclose(mine[name][here], theirs[name][there], atol=1e-6, equal_nan=True)
        for name in mine
    )
    if not same:
        message = f"the features of {kind}s are not those that the earlier run was trained on"
        raise CombinationError(message, "train content anew; TF-IDF changes with the catalogue, given vectors do not")
