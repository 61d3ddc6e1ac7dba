"""Running a kernel over blocks of rows on several threads.

Kernels release Python's lock, so plain threads will do: no threading layer to choose, nothing that aborts on
concurrent calls, none that a forked process cannot use. The blocks depend on the graph alone, and whoever runs a block
writes only that block's rows: the result has the same bytes with any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from graphrec.sparse.cpu.vector import kernel

MAX_BLOCKS = 64
BLOCK_WORK = 4096  # edges and rows worth a block of their own

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # threads do not survive a fork


def num_blocks(rowptr: np.ndarray) -> int:
    """How many blocks ``for_each_block`` cuts the rows into."""
    return int(np.clip((int(rowptr[-1]) + len(rowptr)) // BLOCK_WORK, 1, MAX_BLOCKS))


def most_work(rowptr: np.ndarray) -> int:
    """More than a block's edges + rows: its share, and the row that ends beyond it."""
    share = -(-(int(rowptr[-1]) + len(rowptr)) // num_blocks(rowptr))
    return share + int(np.diff(rowptr).max(initial=0)) + 2


def for_each_block(
    function: Callable[..., None], rowptr: np.ndarray, scratch: Callable[[], tuple[Any, ...]], *args: Any
) -> None:
    """Call ``function(block, first_row, last_row, scratch, *args)`` for blocks of rows with about as many edges each.

    As many threads take part as torch uses, each with scratch of its own; the first error is raised.
    """
    bounds = np.empty(num_blocks(rowptr) + 1, np.uint64)
    _cut(rowptr, bounds)
    numbers = np.arange(len(bounds) - 1, dtype=np.uint64)
    blocks = iter(list(zip(numbers, bounds[:-1], bounds[1:], strict=True)))  # each thread takes the next one

    def work() -> None:
        space = scratch()
        for block, first_row, last_row in blocks:
            function(block, first_row, last_row, space, *args)

    threads = min(torch.get_num_threads(), len(bounds) - 1)
    helpers = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        helper.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="graphrec")
    return _pools[threads]


@kernel
def _cut(rowptr: np.ndarray, bounds: np.ndarray) -> None:
    """Set ``bounds`` [blocks + 1] to the rows at which edges + rows reach each block's share."""
    num_rows, blocks = len(rowptr) - 1, len(bounds) - 1
    for block in range(blocks + 1):
        share = (rowptr[num_rows] + num_rows) * block // blocks
        low, high = 0, num_rows
        while low < high:
            middle = (low + high) // 2
            if rowptr[middle] + middle < share:
                low = middle + 1
            else:
                high = middle
        bounds[block] = np.uint64(low)
