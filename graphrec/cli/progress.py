"""Long work as it goes: a live bar on a terminal, lines anywhere else; both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from graphrec.cli.console import say
from graphrec.wording import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from graphrec.recommender import Advance
    from graphrec.training import Epoch, Stride

QUIET_SECONDS = 30  # of a log of training without a line
EVERY = 10.0  # seconds between lines about users


@contextmanager
def following() -> Iterator[Follower]:
    """Whom to tell of each epoch, and within long ones of each stride."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    name, state = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[state]"))
    with Progress(name, BarColumn(bar_width=10), MofNCompleteColumn(), state, console=Console(stderr=True)) as bar:
        yield Bars(bar)


class Follower(Protocol):
    """Tells people how training goes."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is finished."""
        ...

    def stride(self, stride: Stride) -> None:
        """An epoch is on its way."""
        ...


class Lines:
    """A line an epoch, and in epochs that take long a line every half minute."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.told = time.monotonic()

    def epoch(self, epoch: Epoch) -> None:
        self.told = time.monotonic()
        say(line(epoch, self.pace.left(epoch)))

    def stride(self, stride: Stride) -> None:
        if time.monotonic() - self.told >= QUIET_SECONDS:
            self.told = time.monotonic()
            say(f"{stride.model} {stride.phase} epoch {stride.epoch}/{stride.epochs} {within(stride)}")


class Bars:
    """A bar for each phase of each view.

    Args:
        bar: on a terminal.
    """

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.pace = Pace()
        self.tasks: dict[tuple[str, str], TaskID] = {}

    def epoch(self, epoch: Epoch) -> None:
        self._show(epoch, epoch.epoch, f"{quality(epoch)}, {self.pace.left(epoch)}")

    def stride(self, stride: Stride) -> None:
        self._show(stride, stride.epoch - 1, within(stride))

    def _show(self, row: Epoch | Stride, completed: int, state: str) -> None:
        key = (row.model, row.phase)
        if key not in self.tasks:
            self.tasks[key] = self.bar.add_task(" ".join(key), total=row.epochs, state="")
        self.bar.update(self.tasks[key], completed=completed, state=state)


@contextmanager
def following_users() -> Iterator[Callable[[Advance], None]]:
    """What to call after each block of users."""
    if not sys.stderr.isatty():
        yield UserLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    state = TextColumn("{task.fields[state]}", markup=False)
    with Progress("users", BarColumn(), MofNCompleteColumn(), state, console=Console(stderr=True)) as bar:
        task = bar.add_task("users", total=None, state="")

        def show(advance: Advance) -> None:
            if beginning(advance):
                bar.console.print(beginning(advance), highlight=False, markup=False)
            bar.update(task, total=advance.total, completed=advance.done, state=time_left(advance))

        yield show


class UserLines:
    """A line every ten seconds."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, advance: Advance) -> None:
        if beginning(advance):
            say(beginning(advance))
        if advance.seconds_left is not None and time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            say(f"{advance.done:,} of {advance.total:,} users, {time_left(advance)}")


def beginning(advance: Advance) -> str:
    """What there is to say before the first block: that work goes on, or starts anew."""
    if advance.done > advance.found:
        return ""
    if advance.restarted:
        return "the parts that were there belong to another call or run: starting anew"
    return f"going on after {advance.found:,} of {advance.total:,} users" if advance.found else ""


def time_left(advance: Advance) -> str:
    """The time to the last user, at the pace so far."""
    return "" if advance.seconds_left is None else f"about {duration(advance.seconds_left)} left"


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


def within(stride: Stride) -> str:
    """How far an epoch is, and how long the rest of it will take.

    >>> from graphrec.training import Stride
    >>> within(Stride("gat", "select", 1, 20, step=300, steps=1200, loss=0.5, seconds=20.0, begun=100))
    'step 300/1,200 loss 0.5000, about 90 s left in this epoch'
    """
    left = stride.seconds / (stride.step - stride.begun) * (stride.steps - stride.step)
    return f"step {stride.step:,}/{stride.steps:,} loss {stride.loss:.4f}, about {duration(left)} left in this epoch"


def line(epoch: Epoch, left: str) -> str:
    """One epoch in a line."""
    name = f"{epoch.model} {epoch.phase} epoch {epoch.epoch}/{epoch.epochs}"
    return f"{name} {quality(epoch)} {epoch.seconds:.1f} s {epoch.pairs_per_second:,.0f} pairs/s, {left}"


def quality(epoch: Epoch) -> str:
    """The loss, and the metric where the select rows were read."""
    metric = "" if epoch.metric is None else f" recall@20 {epoch.metric:.4f}"
    return f"loss {epoch.loss:.4f}{metric}"
