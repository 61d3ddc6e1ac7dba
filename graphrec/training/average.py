"""The mean of a model's weights over the last of its steps.

It lies nearer the middle of what they circle than any of them (Polyak and Juditsky 1992; stochastic weight averaging,
Izmailov et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from graphrec.training.checkpoint import State, check_like

VALUES = 100  # in an epoch that count, at least, where it has as many steps


class Average:
    """The mean of a model's weights over about its last epochs: m ← m + (w − m) / min(t, T) at the t-th value of T.

    So it is the plain mean of all values until there are T of them, and a moving one from then on. Departures from
    Izmailov et al.: the learning rate stays what it is, values are taken within epochs, and old ones fade away. Torch's
    ``AveragedModel`` would copy the model with its graph, and average a table of bfloat16 in bfloat16.

    Args:
        model: whose weights; their mean is kept in float32, or in float64 where they are.
        epochs: T is ``epochs`` of them long, at least 1.
        steps: in an epoch.

    >>> weights = nn.Linear(1, 1, bias=False)
    >>> average = Average(weights, epochs=1, steps=2)
    >>> for step, value in enumerate((1.0, 2.0, 4.0), start=1):
    ...     _ = nn.init.constant_(weights.weight, value)
    ...     average.update(step)
    >>> with average.in_place():
    ...     weights.weight.item()
    2.75
    >>> weights.weight.item()
    4.0
    """

    def __init__(self, model: nn.Module, epochs: int, steps: int) -> None:
        self.model = model
        self.every = max(1, steps // VALUES)
        self.values = max(1, epochs * steps // self.every)
        self.mean = {name: _wide(parameter) for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights into the mean where it is their turn; ``step`` counts from 1 at the start of training."""
        if step % self.every:
            return
        share = 1 / min(step // self.every, self.values)
        for name, parameter in self.model.named_parameters():
            self.mean[name].lerp_(parameter.to(self.mean[name].dtype), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mean as the model's weights, for as long as the context lasts."""
        own = {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: State) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(values[name])

    def restore(self, mean: State) -> None:
        """Go on from the ``mean`` of an earlier process.

        Raises:
            ValueError: it is not of these weights.
        """
        check_like(mean, self.mean)
        for name, tensor in self.mean.items():
            tensor.copy_(mean[name])


def _wide(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter, dtype=torch.promote_types(parameter.dtype, torch.float32), requires_grad=False)
