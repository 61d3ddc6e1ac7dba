"""What every model trained by gradient is: a loss of a batch, and what training needs to know besides."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models.base import Model
from graphrec.sampling import Batch


class TrainedModel(Model):
    """A model trained by gradient.

    What scoring needs is computed once between ``eval()`` and the next ``train()`` and kept.

    Attributes:
        whole_users: whether a batch is to hold all pairs of its users (but those cut off at its ends), not any pairs.
    """

    whole_users: ClassVar[bool] = False

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self._kept: dict[str, Any] = {}

    @abstractmethod
    def reset(self, generator: torch.Generator) -> None:
        """Draw the first values of the parameters."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The training loss of one batch, a scalar with gradient."""

    @abstractmethod
    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        """Take over the parameters of the same model on another graph; what belongs to other nodes becomes 0.

        Args:
            other: of the same settings.
            now, before: the nodes that both graphs have, by their numbers here and there, int64 [n] each.
        """

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can repeat the loss: no shape depends on what is in a batch, and no step draws anew."""
        return True

    @property
    def paired(self) -> bool:
        """Whether the loss takes a negative for each pair, where a batch shares no pool of them."""
        return True

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The optimiser's parameter groups."""
        return [{"params": list(self.parameters()), "lr": learning_rate}]

    def train(self, mode: bool = True) -> Self:
        """Switch between training and scoring; either way what was kept is forgotten."""
        self._kept.clear()
        super().train(mode)
        return self

    def keep(self, name: str, compute: Callable[[], Any]) -> Any:
        """``compute()`` without gradient, kept under ``name`` until the next ``train()`` or ``eval()``."""
        if name not in self._kept:
            with torch.no_grad():
                self._kept[name] = compute()
        return self._kept[name]
