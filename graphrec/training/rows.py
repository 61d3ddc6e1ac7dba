"""Optimisers that touch only the rows of a table that a step has a gradient for.

A dense optimiser reads and writes the whole table and its state at every step, however few nodes a sample holds. These
take n rows. Bytes a node, beside 4 W of the table itself (2 W in bfloat16): ``RowAdam`` 8 W, ``RowAdagrad`` 4.

n rows with a gradient, N nodes, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from graphrec.sparse.cpu.threads import for_each_block
from graphrec.training.checkpoint import check_like

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})


class RowOptimizer(ABC):
    """Changes some rows of a table by their gradient.

    A bfloat16 table is rounded up or down at random, so that changes below half a step of its number are kept on
    average.

    Args:
        table: float32 or bfloat16 [N, W] on the CPU, overwritten.
        learning_rate: > 0.
        seed: of the rounding.
    """

    def __init__(self, table: Tensor, learning_rate: float, seed: int) -> None:
        self.table = table
        self.learning_rate = learning_rate
        self.seed = seed
        self.steps = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def step(self, nodes: Tensor, grad: Tensor) -> None:
        """Change the rows ``nodes``.

        Args:
            nodes: int64 [n], distinct.
            grad: float32 [n, W], overwritten.
        """
        self.steps += 1
        rows, change = nodes.numpy(), grad.contiguous().numpy()
        self._change(rows, change)
        if self.table.dtype == torch.bfloat16:
            stream = np.random.SeedSequence((self.seed, int(self.steps))).generate_state(1, np.uint32)[0]
            _over_rows(_subtract_rounded, self.table.detach().view(torch.uint16).numpy(), rows, change, stream)
        else:
            _over_rows(_subtract, self.table.detach().numpy(), rows, change)

    @abstractmethod
    def _change(self, rows: np.ndarray, grad: np.ndarray) -> None:
        """Update the state of the rows and overwrite their gradient with what is to be subtracted."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; ``restore`` copies into these tensors."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what ``state`` gave.

        Raises:
            ValueError: it belongs to another optimiser or table.
        """
        check_like(tensors, self.state())
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])


class RowAdam(RowOptimizer):
    """Adam (Kingma & Ba 2015) with the moments of a row changed only when it has a gradient ("lazy").

    With g the row's gradient in step t:  m ← m + (1 − β₁)(g − m),  v ← v + (1 − β₂)(g² − v),
    change = η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε √(1 − β₂ᵗ)). Departure: rows without a gradient neither move nor
    forget; t counts all steps.

    >>> table = torch.ones(2, 1)
    >>> RowAdam(table, 0.1, seed=0).step(torch.tensor([1]), torch.tensor([[5.0]]))  # the first change is η · sign(g)
    >>> table
    tensor([[1.0000],
            [0.9000]])
    """

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, table: Tensor, learning_rate: float, seed: int) -> None:
        super().__init__(table, learning_rate, seed)
        self.mean, self.square = (torch.zeros(table.shape) for _ in range(2))

    def _change(self, rows: np.ndarray, grad: np.ndarray) -> None:
        first, second = (1 - beta ** int(self.steps) for beta in self.BETAS)
        rate, epsilon = self.learning_rate * second**0.5 / first, self.EPSILON * second**0.5
        numbers = (np.float32(number) for number in (1 - self.BETAS[0], 1 - self.BETAS[1], rate, epsilon))
        _over_rows(_adam, self.mean.numpy(), rows, grad, self.square.numpy(), *numbers)

    def state(self) -> dict[str, Tensor]:
        return {"steps": self.steps, "mean": self.mean, "square": self.square}


class RowAdagrad(RowOptimizer):
    """Adagrad (Duchi et al. 2011) with one accumulator a row: s ← s + mean(g²), change = η g / (√s + ε).

    >>> table = torch.ones(2, 2)
    >>> RowAdagrad(table, 0.1, seed=0).step(torch.tensor([1]), torch.tensor([[3.0, 3.0]]))
    >>> table
    tensor([[1.0000, 1.0000],
            [0.9000, 0.9000]])
    """

    EPSILON = 1e-8

    def __init__(self, table: Tensor, learning_rate: float, seed: int) -> None:
        super().__init__(table, learning_rate, seed)
        self.square = torch.zeros(len(table), 1)

    def _change(self, rows: np.ndarray, grad: np.ndarray) -> None:
        numbers = (np.float32(number) for number in (self.learning_rate, self.EPSILON))
        _over_rows(_adagrad, self.square.numpy(), rows, grad, *numbers)

    def state(self) -> dict[str, Tensor]:
        return {"steps": self.steps, "square": self.square}


ROW_OPTIMIZERS: dict[str, type[RowOptimizer]] = {"adam": RowAdam, "adagrad": RowAdagrad}


def _over_rows(kernel: Any, table: np.ndarray, rows: np.ndarray, change: np.ndarray, *numbers: Any) -> None:
    """Run a kernel over blocks of the rows, on several threads; rows are distinct, so no two write to one place."""
    ends = np.arange(len(rows) + 1, dtype=np.int64) * change.shape[1]
    for_each_block(kernel, ends, tuple, table, rows, change, *numbers)


@_compiled
def _adam(block, first, last, scratch, mean, rows, grad, square, keep, keep_square, rate, epsilon):  # type: ignore[no-untyped-def]
    for place in range(first, last):
        row = rows[place]
        for column in range(grad.shape[1]):
            g = grad[place, column]
            m = mean[row, column] + (g - mean[row, column]) * keep
            v = square[row, column] + (g * g - square[row, column]) * keep_square
            mean[row, column], square[row, column] = m, v
            grad[place, column] = rate * m / (np.sqrt(v) + epsilon)


@_compiled
def _adagrad(block, first, last, scratch, square, rows, grad, rate, epsilon):  # type: ignore[no-untyped-def]
    for place in range(first, last):
        total = np.float32(0)
        for column in range(grad.shape[1]):
            total += grad[place, column] * grad[place, column]
        square[rows[place], 0] += total / np.float32(grad.shape[1])
        scale = rate / (np.sqrt(square[rows[place], 0]) + epsilon)
        for column in range(grad.shape[1]):
            grad[place, column] *= scale


@_compiled
def _subtract(block, first, last, scratch, table, rows, change):  # type: ignore[no-untyped-def]
    for place in range(first, last):
        for column in range(change.shape[1]):
            table[rows[place], column] -= change[place, column]


@_compiled
def _subtract_rounded(block, first, last, scratch, table, rows, change, stream):  # type: ignore[no-untyped-def]
    """A bfloat16 is the upper half of a float32. Noise below it carries into it as often as the lower half says."""
    value = np.empty(change.shape[1], np.float32)
    bits = value.view(np.uint32)
    for place in range(first, last):
        row = rows[place]
        noise = np.uint32(np.uint32(row) * np.uint32(0x9E3779B1)) ^ stream
        for column in range(change.shape[1]):
            noise = _mixed(np.uint32(noise + np.uint32(column)))
            bits[column] = np.uint32(table[row, column]) << np.uint32(16)
            value[column] -= change[place, column]
            table[row, column] = np.uint16(np.uint32(bits[column] + (noise & np.uint32(0xFFFF))) >> np.uint32(16))


@_compiled
def _mixed(number):  # type: ignore[no-untyped-def]
    """A bijection of 32-bit numbers, each bit depending on all (MurmurHash3's last step, Appleby 2011)."""
    number = np.uint32((number ^ (number >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    number = np.uint32((number ^ (number >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return number ^ (number >> np.uint32(16))
