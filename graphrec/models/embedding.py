"""Models trained by gradient: a table of vectors, one a node, propagated over the graph.

B users or items in a block, I items, U users, N nodes, W width, K layers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from graphrec.errors import CombinationError
from graphrec.graph import Block, HeteroGraph
from graphrec.losses import l2_penalty
from graphrec.models.base import check_setting, searched
from graphrec.models.objective import LOSSES, PAIRED, negatives_of, ranking_loss
from graphrec.models.recency import RecencySettings, added_to_mean, in_order, recency_obstacle, recent_mean
from graphrec.models.vectors import VectorModel
from graphrec.sampling import Batch
from graphrec.sparse import CSR

MAX_LAYERS = 64  # beyond any use; a file must not ask for a million of them
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class EmbeddingSettings(RecencySettings):
    """What every model with a vector a node shares.

    Args:
        width: of a node's vector, W ≥ 1.
        layers: of propagation, K ≥ 1; lightgcn takes 0 too, which is matrix factorisation.
        loss: ``bpr``; ``softmax`` (sampled softmax on cosines, against the batch's items or a pool); ``bsl`` (the same
            with a weight on the negatives, the pair's own item not among them); or ``alignment_uniformity``.
        temperature: τ > 0 of the softmax and bsl losses.
        negative_weight: > 0 of the negatives in the bsl loss.
        uniformity: γ ≥ 0, weight of the uniformity in the alignment_uniformity loss.
        l2: weight ≥ 0 of the squared layer-0 vectors of a batch.
        storage: ``float32``, or ``bfloat16`` to keep the layer-0 vectors in half the bytes where neighbours are
            sampled; what is computed from them is float32 either way.
    """

    MIN_LAYERS: ClassVar[int] = 1

    width: int = 64
    layers: int = searched(3, 1, 4)
    loss: str = searched("bpr", choices=("bpr", "softmax", "bsl"))
    temperature: float = searched(0.15, 0.08, 0.4, log=True)
    negative_weight: float = 1.0
    uniformity: float = 1.0
    l2: float = searched(3e-3, 1e-6, 1e-2, log=True)
    storage: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("width", self.width, self.width >= 1, ">= 1")
        check_setting("layers", self.layers, self.layers >= self.MIN_LAYERS, f">= {self.MIN_LAYERS}")
        check_setting("layers", self.layers, self.layers <= MAX_LAYERS, f"<= {MAX_LAYERS}")
        check_setting("loss", self.loss, self.loss in LOSSES, f"one of {', '.join(LOSSES)}")
        check_setting("temperature", self.temperature, self.temperature > 0, "> 0")
        check_setting("negative_weight", self.negative_weight, self.negative_weight > 0, "> 0")
        check_setting("uniformity", self.uniformity, self.uniformity >= 0, ">= 0")
        check_setting("l2", self.l2, self.l2 >= 0, ">= 0")
        check_setting("storage", self.storage, self.storage in TYPES, " or ".join(TYPES))


class EmbeddingModel(VectorModel):
    """A model trained by gradient: a table of layer-0 vectors, propagated; the score is an inner product.

    With ``recency`` ρ > 0 a user's vector, when scoring, is no more their own but the mean of the final vectors of what
    they used, an item counting (1 + n)^−ρ where n others are newer. Training is the same.

    Attributes:
        table: layer-0 vectors of all nodes of ``graph``, float32 or as ``storage`` says, [N, W].
    """

    Settings: ClassVar[type] = EmbeddingSettings

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.table = nn.Parameter(torch.zeros(graph.num_nodes, settings.width, dtype=TYPES[settings.storage]))

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        return recency_obstacle(graph, settings)

    def user_vectors(self) -> Tensor:
        if self.settings.recency == 0:
            return super().user_vectors()
        return self.keep("recent", lambda: recent_mean(self.used, self.settings.recency, self.item_vectors()))

    @property
    def used(self) -> CSR:
        """What everybody has used, as ``fold_in`` takes it."""
        return self.keep("used", lambda: in_order(self.graph, self.settings.recency))

    def fold_in(self, history: CSR) -> Tensor:
        """As for known users where there is recency; without places in the order of use all items count alike."""
        if self.settings.recency == 0:
            return super().fold_in(history)
        items = self.item_vectors()
        return recent_mean(history, self.settings.recency, items) @ items.T

    def contributions(self, history: CSR, item: int) -> Tensor:
        """What each used item of one person adds to the score of an item, where there is recency.

        Args:
            history: [1, I], as ``fold_in`` takes it.
            item: the item scored.

        Returns:
            float32 [n], in the order of the history; their sum is the score.
        """
        return added_to_mean(history, self.settings.recency, self.item_vectors(), item)

    def reset(self, generator: torch.Generator) -> None:
        """Draw the layer-0 vectors from N(0, 0.1²), as LightGCN's code does."""
        nn.init.normal_(self.table, std=0.1, generator=generator)

    @torch.no_grad()
    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        """The layer-0 vectors of the nodes that both know; others start at 0, as newcomers do."""
        both = (now < len(self.table)) & (before < len(other.table))  # a view without knowledge has no entities
        self.table.zero_()
        self.table[now[both]] = other.table[before[both]].to(self.table)
        self.take_shared(other)

    def take_shared(self, other: Self) -> None:
        """Take over the parameters that belong to no node from the same model on another graph."""

    @property
    def paired(self) -> bool:
        return self.settings.loss in PAIRED

    @property
    def mean_from(self) -> int:
        """The first layer in the mean that final vectors are: 0, or 1 for a model that leaves layer 0 out."""
        return 0

    @property
    def first(self) -> Tensor:
        """Layer-0 vectors of all nodes, float32 [N, W] where they are kept in half of that."""
        return self.table.to(torch.promote_types(self.table.dtype, torch.float32))

    @abstractmethod
    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        """Final vectors of all nodes, float32 [N, W]; with a generator, under the model's dropout."""

    def propagate_to(self, rows: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Final and layer-0 vectors of some nodes, for a training step; override it where these alone cost less.

        Args:
            rows: int64 [n], distinct nodes.
            generator: as in ``propagate``.

        Returns:
            Both float32 [n, W].
        """
        return embedding(rows, self.propagate(generator)), embedding(rows, self.first)

    @abstractmethod
    def edge_weights(self, edges: Tensor) -> Tensor:
        """How strongly each of the graph's edges sends, layer by layer.

        Args:
            edges: int64 [n], edge numbers of ``graph.adjacency``.

        Returns:
            float32 [K, n], averaged over heads; 0 for an edge that the model does not use.
        """

    def receive(
        self, layer: int, block: Block, sender: Tensor, receiver: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """What a block's receivers get in one layer. It makes a model fit for graphs larger than memory.

        Args:
            layer: from 1 to K.
            block: edges of the model's graph, all or drawn ones.
            sender: vectors of layer − 1 of the block's senders, float32 [m, W].
            receiver: the same of its receivers, float32 [n, W].
            generator: as in ``propagate``.

        Returns:
            Vectors of this layer, float32 [n, W]; with all edges what ``propagate`` has there, with drawn ones an
            estimate of it.

        Raises:
            UsageError: the model runs on the whole graph alone.
        """
        raise CombinationError(f"model {self.name} runs on the whole graph alone", "leave out --sampling neighbor")

    def propagate_sample(
        self, blocks: Sequence[Block], first: Tensor, num_seeds: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Final vectors of the seeds of a sample: the mean over the layers, each layer on one block.

        A node that has edges in the graph and none of them in a block keeps its own vector in that layer.

        Args:
            blocks: the K blocks of a sample, the one of layer 1 first; each's senders begin with its receivers, and
                these with the seeds.
            first: layer-0 vectors of the first block's senders, float32 [m, W].
            num_seeds: how many of them are seeds, S.
            generator: as in ``propagate``.

        Returns:
            float32 [S, W].
        """
        vectors, total = first, first[:num_seeds] * (1 - self.mean_from)
        for layer, block in enumerate(blocks, start=1):
            receiver = vectors[: block.csr.num_rows]
            received = self.receive(layer, block, vectors, receiver, generator)
            vectors = torch.where(block.left_alone()[:, None], receiver, received)
            total = total + vectors[:num_seeds]
        return total / (self.settings.layers + 1 - self.mean_from)

    def loss(self, batch: Batch) -> Tensor:
        return self.loss_and_vectors(batch)[0]

    def loss_and_vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the final vectors of ``batch_nodes`` that it was made of, float32 [n, W]."""
        final, first = self._vectors_of(self.batch_nodes(batch), batch.generator)
        return self.batch_loss(batch, final, first), final

    def batch_nodes(self, batch: Batch) -> Tensor:
        """The nodes whose vectors a batch's loss needs, in the order that ``batch_loss`` takes them, int64 [n]."""
        items = torch.cat([batch.positive, negatives_of(self.settings.loss, batch)])
        return torch.cat([batch.user, items + self.graph.num_users])

    def batch_loss(self, batch: Batch, final: Tensor, first: Tensor) -> Tensor:
        """The loss of a batch from the vectors of its nodes.

        Args:
            batch: pairs and negatives.
            final, first: final and layer-0 vectors of ``batch_nodes``, float32 [n, W].
        """
        user, positive, negative = final.tensor_split([len(batch), 2 * len(batch)])
        value = ranking_loss(self.settings, self.graph.seen, batch, user, positive, negative)
        squares = first.tensor_split([len(batch), 2 * len(batch)])
        return value + self.settings.l2 * l2_penalty(*(part for part in squares if len(part)))

    def _vectors_of(self, nodes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Final and layer-0 vectors of nodes that may come more than once, each float32 [n, W]."""
        if nodes.device.type == "cuda":  # how many differ would have to be waited for, and no CUDA graph can
            return embedding(nodes, self.propagate(generator)), embedding(nodes, self.first)
        rows, place = nodes.unique(return_inverse=True)
        final, first = self.propagate_to(rows, generator)
        return embedding(place, final), embedding(place, first)
