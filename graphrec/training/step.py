"""One step of training: loss, gradient, Adam. On a GPU it is captured once and then replayed.

A step launches hundreds of short kernels, one after another from Python, which takes longer than they run. A CUDA graph
launches all of them at once.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphrec.models import TrainedModel
from graphrec.sampling import Batch, BatchSampler
from graphrec.training.checkpoint import State, optimizer_state, restore_optimizer


class Step(ABC):
    """Trains a model on one batch a call."""

    model: TrainedModel

    def prepared(self, batches: Iterator[Batch]) -> Iterator[Any]:
        """What to call the step with, batch by batch."""
        return batches

    @abstractmethod
    def __call__(self, batch: Any) -> Tensor:
        """The batch's loss before the step, a scalar without gradient on the model's device."""

    @abstractmethod
    def state(self) -> State:
        """The optimisers' tensors, for a checkpoint."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Put back what ``state`` gave."""


class WholeStep(Step):
    """A step that propagates over the model's whole graph.

    Args:
        model: in training mode.
        optimizer: of its parameters.
    """

    def __init__(self, model: TrainedModel, optimizer: torch.optim.Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer

    def __call__(self, batch: Batch) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state(self) -> State:
        return optimizer_state(self.optimizer)

    def restore(self, state: State) -> None:
        restore_optimizer(self.optimizer, state)


class CapturedStep(WholeStep):
    """A step on a CUDA device. The first calls and a smaller last batch run as they come.

    A model whose loss waits for the device or draws from the batch's generator (dropout) cannot be captured: a warning
    says so, and its steps run as they come.

    Args:
        model, optimizer: as for ``WholeStep``; the optimiser must be ``capturable``.
        batches: whose batches are captured.
    """

    WARM_UP = 3  # calls in which libraries choose their kernels and graphs share out their rows

    def __init__(self, model: TrainedModel, optimizer: torch.optim.Optimizer, batches: BatchSampler) -> None:
        super().__init__(model, optimizer)
        first = next(batches.epoch(0))
        own: dict[str, Any] = {field: tensor.clone() for field, tensor in self._tensors(first).items()}
        self.batch = replace(first, **own)
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss: Tensor | None = None

    def __call__(self, batch: Batch) -> Tensor:
        if len(batch) != len(self.batch):
            return super().__call__(batch)
        self.calls += 1
        if self.calls <= self.WARM_UP:
            return self._beside(batch)
        if self.calls == self.WARM_UP + 1:
            self._capture()
        if self.graph is None or self.loss is None:
            return super().__call__(batch)
        given = self._tensors(batch)
        for field, mine in self._tensors(self.batch).items():
            mine.copy_(given[field])
        self.graph.replay()
        return self.loss.clone()

    def _beside(self, batch: Batch) -> Tensor:
        """A step on a stream of its own, as capturing asks of the calls before it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = super().__call__(batch)
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def _capture(self) -> None:
        """Record a step on ``self.batch`` without running it."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.loss = super().__call__(self.batch)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            warnings.warn(f"{self.model.name} trains without a CUDA graph: {reason}", stacklevel=2)
        else:
            self.graph = graph

    @staticmethod
    def _tensors(batch: Batch) -> dict[str, Tensor]:
        return {field: value for field, value in vars(batch).items() if isinstance(value, Tensor)}
