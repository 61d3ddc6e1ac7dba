"""What a long build tells while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphrec.data.large.estimate import Estimate


@dataclass(frozen=True)
class Progress:
    """How far a step has come.

    Args:
        step: "read", "number", "sort", "split" or "finish".
        done: rows so far.
        rows: of the step, perhaps estimated; None where they are not counted.
        seconds: since the step began.
        finished: whether this is the step's last word.
    """

    step: str
    done: int
    rows: int | None
    seconds: float
    finished: bool = False


class Listener:
    """Hears what a build has to say; this one keeps it to itself."""

    def estimated(self, estimate: Estimate) -> None:
        """Called once, before work starts."""

    def progressed(self, progress: Progress) -> None:
        """Called about once a million rows, and at the end of each step."""

    def noted(self, text: str) -> None:
        """Called with whatever else a person should know: that earlier work is gone on with, say."""
