"""Memory of results that is used again: asking the system for it anew costs as much as a product's tenth.

The system hands out memory page by page and clears each one at its first touch. What a tensor made here leaves behind
when it dies is kept for the next of its size.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

SMALL = 1 << 20  # bytes that the C library keeps by itself
MOST = 1 << 28  # bytes kept at once

_free: dict[int, list[np.ndarray]] = defaultdict(list)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As ``torch.empty`` on the CPU."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return torch.empty(shape, dtype=dtype)
    try:
        memory = _free[size].pop()
    except IndexError:
        memory = torch.empty(size, dtype=torch.uint8).numpy()  # torch's memory begins at a cache line, NumPy's does not
    lent = memory[:]
    weakref.finalize(lent, _take_back, memory).atexit = False
    return torch.from_numpy(lent).view(dtype).view(shape)


def _take_back(memory: np.ndarray) -> None:
    kept = _free[memory.nbytes]
    if sum(size * len(arrays) for size, arrays in list(_free.items())) + memory.nbytes <= MOST:
        kept.append(memory)
