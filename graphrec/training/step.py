"""One step of training: loss, gradient, Adam. On a GPU it is captured once and then replayed.

A step launches hundreds of short kernels, one after another from Python, which takes longer than they run. A CUDA graph
launches all of them at once.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from graphrec.models import EmbeddingModel
from graphrec.sampling import Batch


def make_step(model: EmbeddingModel, optimizer: torch.optim.Optimizer, batch_size: int) -> Step:
    """The step for the model's device."""
    if model.graph.device.type == "cuda":
        return CapturedStep(model, optimizer, batch_size)
    return Step(model, optimizer)


class Step:
    """Trains a model on one batch a call.

    Args:
        model: in training mode.
        optimizer: of its parameters.
    """

    def __init__(self, model: EmbeddingModel, optimizer: torch.optim.Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's loss before the step, a scalar without gradient on the model's device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class CapturedStep(Step):
    """A step on a CUDA device. The first calls and a smaller last batch run as they come.

    A model whose loss waits for the device or draws from the batch's generator (dropout) cannot be captured: a warning
    says so, and its steps run as they come.

    Args:
        model, optimizer: as for ``Step``; the optimiser must be ``capturable``.
        batch_size: of the batches to capture.
    """

    WARM_UP = 3  # calls in which libraries choose their kernels and graphs share out their rows

    def __init__(self, model: EmbeddingModel, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
        super().__init__(model, optimizer)
        device = model.graph.device
        user, positive, negative = torch.zeros(3, batch_size, dtype=torch.int64, device=device)
        self.batch = Batch(user, positive, negative, torch.Generator(device))
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
        for mine, given in zip(self._tensors(self.batch), self._tensors(batch), strict=True):
            mine.copy_(given)
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
    def _tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        return batch.user, batch.positive, batch.negative
