"""Memory of results that is used again, since asking the system for it anew costs time.

The system hands out memory page by page and clears each one at its first touch. What a tensor made here leaves behind
when it dies is kept for the next of about its size.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")
SMALL = 1 << 20  # bytes that the C library keeps by itself
MOST = 1 << 28  # bytes kept at once

_free: dict[int, list[np.ndarray]] = defaultdict(list)


def empty(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> Tensor:
    """As ``torch.empty``; on a GPU it is that, where torch itself keeps memory."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL or device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    step = 1 << (size.bit_length() - 4)  # an eighth more at most, so that batches of about one size share memory
    room = -(-size // step) * step
    try:
        memory = _free[room].pop()
    except IndexError:
        memory = torch.empty(room, dtype=torch.uint8).numpy()  # torch's memory begins at a cache line, NumPy's does not
    lent = memory[:size]
    weakref.finalize(lent, _take_back, memory).atexit = False
    return torch.from_numpy(lent).view(dtype).view(shape)


def _take_back(memory: np.ndarray) -> None:
    if sum(size * len(arrays) for size, arrays in list(_free.items())) + memory.nbytes > MOST:
        _free.clear()  # what is wanted now is not what was wanted before
    if memory.nbytes <= MOST:
        _free[memory.nbytes].append(memory)
