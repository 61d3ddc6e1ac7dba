"""Building past memory as it goes, in words on stderr."""

from __future__ import annotations

from graphrec.cli.console import say
from graphrec.data.large import Estimate, Listener, Progress
from graphrec.data.large.memory import shown_size
from graphrec.wording import duration

STEPS = {
    "read": "reading rows",
    "number": "numbering ids",
    "sort": "sorting and joining rows",
    "split": "splitting rows",
}
FEW = 1_000_000  # rows; of a step with fewer there is one line, at its end
PACE = 5.0  # seconds between two lines about one step


class Told(Listener):
    """Says what it hears, about one step no more often than every few seconds.

    Attributes:
        estimate: what was estimated; None where all fitted in memory.
    """

    def __init__(self) -> None:
        self.estimate: Estimate | None = None
        self._said = ("", 0.0)  # step, seconds into it

    def estimated(self, estimate: Estimate) -> None:
        """A line with the numbers."""
        self.estimate = estimate
        say(
            f"about {estimate.rows:,} rows, {estimate.users:,} users, {estimate.items:,} items; "
            f"memory: up to {shown_size(estimate.limit)} (at least {shown_size(estimate.memory)}), "
            f"disk: {shown_size(estimate.disk)} of {shown_size(estimate.free)} free, "
            f"time: about {duration(estimate.seconds)}"
        )

    def progressed(self, progress: Progress) -> None:
        """A line now and then, and one at the end of a step."""
        step, seconds = self._said
        soon = progress.step == step and progress.seconds - seconds < PACE
        short = progress.rows is not None and progress.rows < FEW
        if (soon or (short and not progress.seconds)) and not progress.finished:
            return
        self._said = (progress.step, progress.seconds)
        rows = "" if progress.rows is None else f" {progress.done:,} of {max(progress.rows, progress.done):,},"
        say(f"{STEPS[progress.step]}:{rows} {duration(progress.seconds)}{', done' if progress.finished else ''}")

    def noted(self, text: str) -> None:
        """The text as it is."""
        say(text)
