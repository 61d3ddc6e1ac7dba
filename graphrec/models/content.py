"""Content: an item is what its text, numbers and pictures say, and a user is the items used.

B pairs in a batch, I items, U users, D numbers of a modality, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph
from graphrec.layers import ModalityAttention
from graphrec.losses import l2_penalty
from graphrec.models.base import check_setting
from graphrec.models.embedding import EmbeddingModel
from graphrec.sampling import Batch
from graphrec.sparse import CSR, spmm


@dataclass(frozen=True)
class ContentSettings:
    """The settings of the content model.

    Args:
        width: of a vector, W ≥ 1.
        loss: ``softmax`` (sampled softmax on cosines, against the batch's items or a pool), or ``bpr``.
        temperature: τ > 0 of the softmax loss.
        l2: weight ≥ 0 of the squared vectors of a batch: the users' own ones and the items'.
        attention: whether the weights of the modalities are learned; without it they are equal.
    """

    width: int = 64
    loss: str = "softmax"
    temperature: float = 0.15
    l2: float = 3e-3
    attention: bool = True

    layers: ClassVar[int] = 1  # of edges between what is learned and a final vector
    storage: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check_setting("width", self.width, self.width >= 1, ">= 1")
        check_setting("loss", self.loss, self.loss in ("softmax", "bpr"), "softmax or bpr")
        check_setting("temperature", self.temperature, self.temperature > 0, "> 0")
        check_setting("l2", self.l2, self.l2 >= 0, ">= 0")


class Content(EmbeddingModel):
    """v_i = attention over its modalities (``ModalityAttention``),  u = p_u + b_u + mean of the v_j of their items.

    p_u is learned for each user, b_u the same attention over what is known of the user, 0 without attributes. In
    training the item of a pair is left out of its user's mean, since it is not known when it is to be found. The score
    is ⟨u, v_i⟩: items that nobody has used are scored like any other. A newcomer is the mean of the items used.

    After the content towers of YouTube's two-tower model (Yi et al. 2019, "Sampling-bias-corrected neural modeling for
    large corpus item recommendations", §3), with one linear map for each modality in place of deep towers, joined by
    attention as in MMGCL's and MGCN's fusion in place of concatenation.

    Args:
        graph: users and items with features; of its edges the interactions alone are used.
        settings: a ``ContentSettings``.

    Attributes:
        table: p, [U, W].
        of_items, of_users: the attention over the modalities of items, and of users where they have some.
    """

    name: ClassVar[str] = "content"
    Settings: ClassVar[type] = ContentSettings
    propagates: ClassVar[bool] = False

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph.interactions_only(), settings)
        self.table = nn.Parameter(torch.zeros(graph.num_users, settings.width))
        self.of_items = ModalityAttention(_widths(self.graph, "item"), settings.width)
        self.of_users = ModalityAttention(_widths(self.graph, "user"), settings.width)

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        """Without features of items there is nothing to score them by."""
        return None if graph.features.get("item") else "the data has no features of items"

    def reset(self, generator: torch.Generator) -> None:
        super().reset(generator)
        for side, kind in ((self.of_items, "item"), (self.of_users, "user")):
            side.reset(self.graph.features.get(kind, {}), generator)
            for query in side.query.values():
                query.requires_grad_(self.settings.attention)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": trained, "lr": learning_rate}]

    @torch.no_grad()
    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        """Users' own vectors, and the projections; the features of known nodes must be what they were.

        Raises:
            UsageError: they are not: words and their directions were found anew, say.
        """
        for kind in ("item", "user"):
            _check_same(self.graph, other.graph, kind, now, before)
        super().take_over(other, now, before)

    def take_shared(self, other: Self) -> None:
        self.of_items.load_state_dict(other.of_items.state_dict())
        self.of_users.load_state_dict(other.of_users.state_dict())

    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        items = self._items()
        return torch.cat([self._own() + mean_of_used(self.graph.seen, items), items])

    def loss(self, batch: Batch) -> Tensor:
        items, own = self._items(), self._own()[batch.user]
        positive, count = items[batch.positive], self.graph.seen.degree[batch.user, None]
        others = spmm(self.graph.seen, items)[batch.user] - positive
        user = own + others / (count - 1).clamp(min=1)
        with_negative = self.settings.loss == "bpr" or batch.pooled
        negative = items[batch.negative] if with_negative else items[:0]
        value = self._ranking_loss(batch, user, positive, negative)
        return value + self.settings.l2 * l2_penalty(own, positive)

    def fold_in_vectors(self, history: CSR) -> Tensor:
        return mean_of_used(history, self.item_vectors())

    def edge_weights(self, edges: Tensor) -> Tensor:
        """1/d_u for what a user receives from the items used; 0 for what an item receives."""
        row, kind = self.graph.adjacency.row_index()[edges], self.graph.adjacency.edge_type
        assert kind is not None
        share = self.graph.adjacency.degree[row].float().reciprocal()
        return torch.where(kind[edges] == 1, share, 0.0)[None]

    def _items(self) -> Tensor:
        """v, [I, W]."""
        return self.of_items(self.graph.features["item"])

    def _own(self) -> Tensor:
        """p + b, [U, W]."""
        known = self.graph.features.get("user")
        return self.table + self.of_users(known) if known else self.table


def mean_of_used(history: CSR, items: Tensor) -> Tensor:
    """The mean of the vectors of each row's items, 0 for a row without any.

    Args:
        history: [B, I].
        items: float [I, W].
    """
    return spmm(history, items) / history.degree.clamp(min=1)[:, None]


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
        raise UsageError(message, "train content anew; TF-IDF changes with the catalogue, given vectors do not")
