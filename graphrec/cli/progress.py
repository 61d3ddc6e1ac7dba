"""Training as it goes: a live bar on a terminal, a line an epoch anywhere else; both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graphrec.cli.console import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from graphrec.training import Epoch


@contextmanager
def following() -> Iterator[Callable[[Epoch], None]]:
    """What to call after each epoch."""
    pace = Pace()
    if not sys.stderr.isatty():
        yield lambda epoch: say(line(epoch, pace.left(epoch)))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    name, state = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[state]"))
    with Progress(name, BarColumn(bar_width=10), MofNCompleteColumn(), state, console=Console(stderr=True)) as bar:
        yield Bar(bar, pace)


class Pace:
    """How long the epochs of each phase take."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], list[float]] = {}

    def left(self, epoch: Epoch) -> str:
        """The time to the phase's last epoch; early stopping may end it before."""
        taken = self.seconds.setdefault((epoch.model, epoch.phase), [])
        taken.append(epoch.seconds)
        recent = taken[-5:]
        return f"about {duration((epoch.epochs - epoch.epoch) * sum(recent) / len(recent))} left"


class Bar:
    """A bar for each phase of each view."""

    def __init__(self, bar: Progress, pace: Pace) -> None:
        self.bar = bar
        self.pace = pace
        self.tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, epoch: Epoch) -> None:
        key = (epoch.model, epoch.phase)
        if key not in self.tasks:
            self.tasks[key] = self.bar.add_task(" ".join(key), total=epoch.epochs, state="")
        state = f"{quality(epoch)}, {self.pace.left(epoch)}"
        self.bar.update(self.tasks[key], completed=epoch.epoch, state=state)


def line(epoch: Epoch, left: str) -> str:
    """One epoch in a line."""
    name = f"{epoch.model} {epoch.phase} epoch {epoch.epoch}/{epoch.epochs}"
    return f"{name} {quality(epoch)} {epoch.seconds:.1f} s {epoch.pairs_per_second:,.0f} pairs/s, {left}"


def quality(epoch: Epoch) -> str:
    """The loss, and the metric where the select rows were read."""
    metric = "" if epoch.metric is None else f" recall@20 {epoch.metric:.4f}"
    return f"loss {epoch.loss:.4f}{metric}"


def duration(seconds: float) -> str:
    """A time span in the unit that suits it.

    >>> duration(4.2), duration(250), duration(8000)
    ('4 s', '4 min', '2.2 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
