"""Times on a device, eager and captured, and what the device allows at most."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """Seconds of a piece of work; None where there is no such figure."""

    work: str
    eager_s: float
    captured_s: float | None
    peer: str | None
    peer_s: float | None
    floor_s: float


class Clock:
    """Times calls, and knows what the device allows.

    Args:
        device: of all work.
        rounds: whose median counts.
        calls: in a round.
        size: floats in each of the triad's three arrays; large beside the caches.
        side: rows and columns of the matrices that are multiplied.
    """

    def __init__(self, device: torch.device, rounds: int, calls: int, size: int, side: int) -> None:
        self.device, self.rounds, self.calls = device, rounds, calls
        a, b, c = (torch.zeros(size, device=device) for _ in range(3))
        left = torch.ones(side, side, device=device)
        self.bandwidth = 12 * size / self.seconds(lambda: torch.add(b, c, alpha=2, out=a))
        self.arithmetic = 2 * side**3 / self.seconds(lambda: left @ left)

    def seconds(self, call: Call) -> float:
        """Of one call, after a round that is not timed."""
        return median([self._round(call) for _ in range(self.rounds + 1)][1:])

    def captured_seconds(self, call: Call) -> float | None:
        """Of one replay of the call from a CUDA graph; None where there are none or it cannot be captured."""
        if self.device.type != "cuda":
            return None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                call()
        except RuntimeError as error:
            print(f"not captured: {error}", file=sys.stderr)
            return None
        return self.seconds(graph.replay)

    def row(
        self, work: str, call: Call, moved: float, peer: str | None = None, peer_call: Call | None = None,
        operations: float = 0.0, captures: bool = True,
    ) -> Row:  # fmt: skip
        """Time ours and the peer's; ``moved`` bytes and ``operations`` make the floor."""
        print(f"{time.strftime('%X')} {work}", file=sys.stderr, flush=True)
        floor = max(moved / self.bandwidth, operations / self.arithmetic)
        eager, theirs = self.seconds(call), None if peer_call is None else self.seconds(peer_call)
        return Row(work, eager, self.captured_seconds(call) if captures else None, peer, theirs, floor)

    def _round(self, call: Call) -> float:
        if self.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(self.calls):
                call()
            return (time.perf_counter() - start) / self.calls
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
        for _ in range(self.calls):
            call()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last) / 1000 / self.calls
