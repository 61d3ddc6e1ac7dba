"""Measuring: the seconds of calls in turn, what the machine can do at most, and the memory of one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Machine:
    """What this machine did in this run.

    Args:
        bandwidth: bytes a second.
        arithmetic: operations a second.
    """

    bandwidth: float
    arithmetic: float

    def floor(self, moved: float, operations: float = 0.0) -> float:
        """The larger of bytes ÷ bandwidth and operations ÷ arithmetic, in seconds."""
        return max(moved / self.bandwidth, operations / self.arithmetic)


def measure_machine(size: int = 2**25, side: int = 2048) -> Machine:
    """Bandwidth and arithmetic at the current thread count, the best of five each.

    Args:
        size: floats in each of the triad's three arrays; large beside the caches.
        side: rows and columns of the matrices that are multiplied.
    """
    a, b, c = torch.zeros(3, size)
    left, out = torch.ones(side, side), torch.empty(side, side)
    triad = min(times([lambda: torch.add(b, c, alpha=2, out=a)], 5)[0])
    product = min(times([lambda: torch.mm(left, left, out=out)], 5)[0])
    return Machine(bandwidth=12 * size / triad, arithmetic=2 * side**3 / product)


def times(calls: Sequence[Call], repeats: int) -> list[list[float]]:
    """Seconds of each call, ``repeats`` times in turn, after one round that compiles.

    Each call that counts follows one that does not: in use a step follows a step, not another library's.

    >>> [len(own) for own in times([list, dict], repeats=3)]
    [3, 3]
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for own, call in zip(seconds, calls, strict=True):
            call()
            if turn:
                start = time.perf_counter()
                call()
                own.append(time.perf_counter() - start)
    return seconds


def extra_megabytes(call: Call) -> float | None:
    """How far one call raises this process's resident memory above where it stood; None outside Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew at the present size
        before = _status("VmRSS")
        kept = call()
        peak = _status("VmHWM")
    except OSError:
        return None
    del kept
    return (peak - before) / 1024


def peak_megabytes() -> float | None:
    """The most resident memory that this process has had since it started; None outside Linux."""
    try:
        return _status("VmHWM") / 1024
    except OSError:
        return None


def _status(field: str) -> int:
    """A size of this process in KB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
