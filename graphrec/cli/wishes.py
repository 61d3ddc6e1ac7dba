"""What ``train`` is asked for: a configuration as it is, one chosen for a time, or one to be searched."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphrec.cli.console import say, shown
from graphrec.cli.errors import interruptible
from graphrec.errors import CombinationError, SettingError

if TYPE_CHECKING:
    from graphrec.config import RunConfig
    from graphrec.data import Dataset
    from graphrec.training import Attempt, Choice, Epoch, Stride, Tuned

QUIET_SECONDS = 30  # of a search without a line


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    Args:
        values: nested, of a configuration file.
        options: flat, laid over them.
        minutes: that the run is to take, or None.
        tune: minutes of search, or None.
    """

    values: Mapping[str, Any]
    options: Mapping[str, Any]
    minutes: float | None
    tune: float | None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.tune is not None:
            raise CombinationError(
                "--minutes chooses by rules and --tune by search", "give one; what either wrote can go to --config"
            )
        for name in ("minutes", "tune"):
            given = getattr(self, name)
            if given is not None and not 0 < given < float("inf"):
                raise SettingError(f"--{name} must be > 0 minutes, got {given}")

    def config(self) -> RunConfig | None:
        """The configuration that was asked for; None where one is to be chosen."""
        from graphrec.config import override

        return None if self.minutes is not None else override(self.values, **self.options)

    def settled(self, config: RunConfig | None, dataset: Dataset) -> tuple[RunConfig, Choice | None]:
        """The configuration for a data set, and how it was chosen, if it was. What cannot be searched is refused."""
        from graphrec.training import check_search, choose, settle_views

        if config is None:
            assert self.minutes is not None
            say("choosing views and epochs: a few steps of each")
            choice = choose(dataset, self.values, minutes=self.minutes, **self.options)
            for view, why in choice.views.items():
                say(f"{view}: {why}")
            say(f"the run is expected to take {choice.expected:.1f} minutes")
            return choice.config, choice
        config = settle_views(config, dataset)
        if self.tune is not None:
            check_search(config, self.tune, self._held())
        return config, None

    def begun(self) -> dict[str, Any] | None:
        """What a run folder keeps of it where its configuration does not say it all."""
        if self.minutes is None and self.tune is None:
            return None
        held = self._held() if self.tune is not None else []
        kept = {"values": self.values, "options": self.options, "minutes": self.minutes, "tune": self.tune}
        return json.loads(json.dumps({**kept, "held": held}))

    def differences(self, begun: Mapping[str, Any]) -> list[str]:
        """In what it differs from what a run was begun with, as far as it says anything."""
        before = {**begun.get("options", {}), "minutes": begun.get("minutes"), "tune": begun.get("tune")}
        now = json.loads(json.dumps({**self.options, "minutes": self.minutes, "tune": self.tune}))
        told = [
            f"{name} is {shown(before.get(name)) or 'not given'}, not {shown(value)}"
            for name, value in now.items()
            if value is not None and value != before.get(name)
        ]
        same = not self.values or json.loads(json.dumps(self.values)) == begun.get("values")
        return told if same else [*told, "the configuration file says something else"]

    def _held(self) -> list[str]:
        from graphrec.config import laid_over
        from graphrec.training import held_by

        return held_by(laid_over(self.values, **self.options))


def read_file(path: Path) -> dict[str, Any]:
    """What a configuration file holds."""
    from graphrec.config import read_values

    return read_values(path)


def tuned(out: Path, dataset: Dataset, config: RunConfig) -> RunConfig:
    """The configuration of a run after the search that it was begun with, if it was begun with one."""
    from graphrec.runs import CHECKPOINTS, is_tuned, read_begun, take_tuned
    from graphrec.training import tune

    begun = read_begun(out)
    if not begun or begun["tune"] is None or is_tuned(out):
        return config
    teller = Teller()
    with interruptible() as check:

        def on_trial(attempt: Attempt) -> None:
            teller.trial(attempt)
            check()

        def on_step(row: Epoch | Stride) -> None:
            teller.step(row)
            check()

        told: Any = {"on_trial": on_trial, "on_epoch": on_step, "on_stride": on_step}
        found = tune(dataset, config, minutes=begun["tune"], held=begun["held"], folder=out / CHECKPOINTS, **told)
    take_tuned(out, found)
    _say_found(out, found)
    return found.config


class Teller:
    """A line a trial, and in long ones a line every half minute."""

    def __init__(self) -> None:
        self.best: dict[str, float] = {}
        self.last = time.monotonic()

    def trial(self, attempt: Attempt) -> None:
        """A trial has ended."""
        self.last = time.monotonic()
        if attempt.state == "complete" and attempt.recall is not None:
            self.best[attempt.view] = max(attempt.recall, self.best.get(attempt.view, 0.0))
        ended = {"complete": "", "pruned": " broken off", "failed": f" failed: {attempt.why}"}[attempt.state]
        recall = "" if attempt.recall is None else f" recall@20 {attempt.recall:.4f}"
        best = f", best {self.best[attempt.view]:.4f}" if attempt.view in self.best else ""
        say(f"{attempt.view} trial {attempt.number}{ended}{recall}{best}, {attempt.seconds:.1f} s")

    def step(self, row: Epoch | Stride) -> None:
        """Training goes on."""
        if time.monotonic() - self.last >= QUIET_SECONDS:
            self.last = time.monotonic()
            say(f"{row.model} epoch {row.epoch}/{row.epochs} loss {row.loss:.4f}")


def _say_found(out: Path, found: Tuned) -> None:
    """The winners, and where they are."""
    for search in found.searches:
        settings = ", ".join(f"{name} {shown(value)}" for name, value in search.settings.items())
        none = "no trial came to a figure" if search.trials else "there was no time for a trial"
        reached = none if search.recall is None else f"recall@20 {search.recall:.4f}"
        say(f"{search.view}: {reached} with {settings}")
    say(f"these settings are in {out / 'config.toml'}, which --config takes")
