"""Measuring: seconds of calls in turn, what the machine can do at most, and the memory of one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Machine:
    """What this machine did in this run: bytes a second of a triad over large arrays, operations of a product."""

    bandwidth: float
    arithmetic: float

    def floor(self, moved: float, operations: float = 0.0) -> float:
        """The seconds that nobody can beat: the larger of bytes ÷ bandwidth and operations ÷ arithmetic."""
        return max(moved / self.bandwidth, operations / self.arithmetic)


def measure_machine(size: int = 2**25) -> Machine:
    """Bandwidth and arithmetic at the current thread count, best of five each."""
    a, b, c = torch.zeros(3, size)
    left = torch.ones(2048, 2048)
    out = torch.empty_like(left)
    triad, product = lambda: torch.add(b, c, alpha=2, out=a), lambda: torch.mm(left, left, out=out)
    return Machine(12 * size / min(_times([triad], 5)[0]), 2 * 2048**3 / min(_times([product], 5)[0]))


def _times(calls: Sequence[Call], repeats: int) -> list[list[float]]:
    """Seconds of each call, ``repeats`` times in turn, after one round that compiles and fills caches."""
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for own, call in zip(seconds, calls, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                own.append(time.perf_counter() - start)
    return seconds


def extra_megabytes(call: Call) -> float | None:
    """How far one call raises this process's resident memory above where it stood; None outside Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew at the present size
        before = _status("VmRSS")
        kept = call()
        after = _status("VmHWM")
    except OSError:
        return None
    del kept
    return (after - before) / 1024


def _status(field: str) -> int:
    """A size of this process in KB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
