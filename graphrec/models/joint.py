"""The views of a fusion trained together, so that each may learn what the others do not know.

S views, B pairs in a batch.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from graphrec.models.embedding import EmbeddingModel
from graphrec.models.fused import Fused
from graphrec.models.fused_settings import FusedSettings
from graphrec.models.scored import scored_softmax_loss
from graphrec.models.trained import TrainedModel
from graphrec.sampling import Batch, used_in_batch
from graphrec.sparse import CSR

_LEAST = 1e-6  # of a deviation that scores are divided by


class Joint(TrainedModel):
    """L = Σ_s L_s + L_f: each view's own loss, and the sampled softmax of the fused score against the batch's items.

        L_f = mean of −ln softmax_j( Σ_s a_s γ_s z̃_s(u, j) ) at j = i

    over the batch's pairs (u, i), j being the items of the batch that u has not used, and i. z̃ is standardised over the
    batch's items instead of over all. The fusion's w and g learn with the views; they are fitted anew on blend rows
    afterwards, for on pairs that the views were trained on they would favour the view that learns pairs by heart.

    Args:
        fused: a fusion whose views are all ``EmbeddingModel``; trained in place.
    """

    name: ClassVar[str] = "joint"
    Settings: ClassVar[type] = FusedSettings

    def __init__(self, fused: Fused) -> None:
        super().__init__(fused.graph, fused.settings)
        self.fused = fused

    @property
    def views(self) -> list[EmbeddingModel]:
        return list(self.fused.views.values())  # type: ignore[arg-type]

    @property
    def paired(self) -> bool:
        return any(view.paired for view in self.views)

    @property
    def capturable(self) -> bool:
        return all(view.capturable for view in self.views)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the views' parameters one after another; the fusion starts as the plain mean."""
        for view in self.views:
            view.reset(generator)
        self.fused.set_weights(torch.zeros_like(self.fused.attention), torch.zeros_like(self.fused.log_scale))

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        weights = {"params": [self.fused.attention, self.fused.log_scale], "lr": learning_rate}
        return [*(group for view in self.views for group in view.parameter_groups(learning_rate)), weights]

    def loss(self, batch: Batch) -> Tensor:
        losses, vectors = zip(*(view.loss_and_vectors(batch) for view in self.views), strict=True)
        return torch.stack(losses).sum() + self._fused_loss(batch, vectors)

    def _fused_loss(self, batch: Batch, vectors: tuple[Tensor, ...]) -> Tensor:
        size = len(batch)
        scores = torch.stack([final[:size] @ final[size : 2 * size].T for final in vectors])
        deviation, mean = torch.std_mean(scores, dim=2, correction=0, keepdim=True)
        standard = (scores - mean) / deviation.clamp(min=_LEAST)
        degree = self.graph.seen.degree[batch.user]
        score = self.fused.weigh(standard, degree, batch.positive[None]).sum(dim=0)
        used = used_in_batch(self.graph.seen, batch.user, batch.positive)
        return scored_softmax_loss(score.diagonal(), score, used, torch.arange(size, device=score.device), 1.0)

    def score_block(self, users: Tensor) -> Tensor:
        return self.fused.score_block(users)

    def fold_in(self, history: CSR) -> Tensor:
        return self.fused.fold_in(history)

    def similarity_block(self, items: Tensor) -> Tensor:
        return self.fused.similarity_block(items)

    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        for name, view in self.fused.views.items():
            view.take_over(other.fused.views[name], now, before)  # type: ignore[operator]
