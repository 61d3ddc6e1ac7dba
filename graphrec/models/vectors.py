"""Models trained by gradient whose score is the inner product of a user's and an item's vector.

B users or items in a block, I items, U users, W width.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphrec.models.trained import TrainedModel
from graphrec.sparse import CSR


class VectorModel(TrainedModel):
    """A model with a final vector for each user and item; they can be stored, exported, and searched."""

    @abstractmethod
    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        """Final vectors of the users, then the items, then perhaps more nodes, float32 [≥ U + I, W].

        Args:
            generator: of the model's dropout; None leaves nothing out.
        """

    @abstractmethod
    def fold_in_vectors(self, history: CSR) -> Tensor:
        """Vectors of people the model has never met, float32 [B, W], from the frozen vectors of the items they used."""

    @property
    def has_vectors(self) -> bool:
        """Whether the final vectors are there already."""
        return "final" in self._kept

    def put_vectors(self, vectors: Tensor) -> None:
        """Score by final vectors that were computed before, until the next ``train()`` or ``eval()``.

        Args:
            vectors: of the users, then the items, then perhaps more nodes, float32 [≥ U + I, W].
        """
        self._kept["final"] = vectors

    def user_vectors(self) -> Tensor:
        """Final vectors of the users, float32 [U, W]."""
        return self.keep("final", self.propagate)[: self.graph.num_users]

    def item_vectors(self) -> Tensor:
        """Final vectors of the items, float32 [I, W]."""
        first = self.graph.num_users
        return self.keep("final", self.propagate)[first : first + self.graph.num_items]

    def vectors(self) -> tuple[Tensor, Tensor] | None:
        plain = type(self).score_block is VectorModel.score_block
        return (self.user_vectors(), self.item_vectors()) if plain else None

    def score_block(self, users: Tensor) -> Tensor:
        return self.user_vectors()[users] @ self.item_vectors().T

    def fold_in(self, history: CSR) -> Tensor:
        with torch.no_grad():
            return self.fold_in_vectors(history) @ self.item_vectors().T

    def similarity_block(self, items: Tensor) -> Tensor:
        """Cosine of the final item vectors."""
        unit = normalize(self.item_vectors(), dim=-1)
        return unit[items] @ unit.T
