"""A search over one view's settings, by optuna: what to try next, when to break off, and a journal to go on from."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphrec.errors import DamagedRunError, MissingExtraError, TrainingError, UsageError
from graphrec.files import write_text
from graphrec.models.base import Range
from graphrec.training.tuning.space import Space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

MAX_TRIALS = 100  # of a view: more would fit the select rows and nothing else
STARTUP = 8  # trials drawn at random before the sampler goes by what they gave
PATIENT = 3  # evaluations before a trial is broken off

Report = Callable[[int, float], None]
"""Takes an epoch and its recall@20 on the select rows; breaks the trial off by an exception."""
Judge = Callable[[dict[str, Any], Report], float]
"""Takes settings; gives their recall@20 on the select rows, and tells of evaluations on the way."""


@dataclass(frozen=True)
class Attempt:
    """Settings that were tried.

    Args:
        view: whose.
        number: from 0, which is the settings that the configuration has.
        settings: by name.
        recall: the best recall@20 on the select rows; None where there is none.
        state: ``complete``, ``pruned`` or ``failed``.
        seconds: that it took.
        why: it failed.
    """

    view: str
    number: int
    settings: dict[str, Any]
    recall: float | None
    state: str
    seconds: float
    why: str = ""


class OutOfTime(Exception):
    """The time of a view is over; what its trial has reached counts."""


def load_optuna() -> Any:
    """The package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import optuna
        import optuna.storages.journal
    except ModuleNotFoundError:
        raise MissingExtraError("optuna", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_journal(path: Path | None) -> BaseStorage:
    """Where trials are kept: lines of JSON in a file, or memory.

    Raises:
        MissingExtraError: optuna is not installed.
        RunError: the file is no such journal.
    """
    optuna = load_optuna()
    if path is None:
        return optuna.storages.InMemoryStorage()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _drop_torn(path)
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        storage.get_all_studies()  # replays it
        return storage
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRunError(
            f"{path} is no journal of a search: {error}", "remove it to search from the start"
        ) from None


def _drop_torn(path: Path) -> None:
    """Cut off a last line that a crash has left unfinished; optuna would stumble over what is written behind it."""
    text = path.read_bytes() if path.exists() else b""
    *lines, torn = text.split(b"\n")
    for line in lines:
        json.loads(line)
    if torn:
        write_text(path, text[: -len(torn)].decode())


class ViewStudy:
    """The trials of one view.

    Args:
        storage: of ``open_journal``.
        view: name.
        space: settings to search.
        given: their values in the configuration, which are tried first.
        seed: of the draws; each derives from it, the view and the number of the trial.
    """

    def __init__(self, storage: BaseStorage, view: str, space: Space, given: Mapping[str, Any], seed: int) -> None:
        self.optuna = load_optuna()
        self.view, self.given, self.seed = view, dict(given), seed
        self.space = {name: _distribution(self.optuna, values) for name, values in space.items()}
        pruner = self.optuna.pruners.MedianPruner(n_startup_trials=STARTUP // 2, n_warmup_steps=0)
        self.study: Study = self.optuna.create_study(
            storage=storage, study_name=view, direction="maximize", pruner=pruner, load_if_exists=True
        )
        self._take_up()

    def attempts(self) -> list[Attempt]:
        """The trials that have ended, in order."""
        return [
            self._attempt(trial) for trial in self.study.get_trials(deepcopy=False) if "seconds" in trial.user_attrs
        ]

    def run(self, judge: Judge, clock: Callable[[], float], seconds: float) -> Attempt:
        """Try the next settings.

        Args:
            judge: of the settings.
            clock: seconds.
            seconds: after which the next evaluation ends the trial.
        """
        trial, begun, seen = self._ask(), clock(), []
        state, value, why = self.optuna.trial.TrialState, None, ""

        def report(epoch: int, recall: float) -> None:
            seen.append(recall)
            trial.report(recall, epoch)
            if len(seen) >= PATIENT and trial.should_prune():
                raise self.optuna.TrialPruned
            if clock() - begun >= seconds:
                raise OutOfTime

        try:
            value, ended = self._known(trial) or judge(dict(trial.params), report), state.COMPLETE
        except self.optuna.TrialPruned:
            ended = state.PRUNED
        except OutOfTime:
            value, ended = max(seen), state.COMPLETE
        except (UsageError, TrainingError) as error:
            ended, why = state.FAIL, error.message
        for name, told in (("seconds", clock() - begun), ("why", why), ("best", max(seen, default=None))):
            trial.set_user_attr(name, told)
        return self._attempt(self.study.tell(trial, value, state=ended))

    def _ask(self) -> Trial:
        number = len(self.study.get_trials(deepcopy=False))
        words = np.random.SeedSequence((self.seed, zlib.crc32(self.view.encode()), number)).generate_state(1)
        self.study.sampler = self.optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=int(words[0]))
        return self.study.ask(self.space)

    def _known(self, trial: Trial) -> float | None:
        """What the same settings gave before."""
        same = (other.value for other in self.study.get_trials(deepcopy=False) if other.params == trial.params)
        return next((value for value in same if value), None)

    def _take_up(self) -> None:
        """Begin with the given settings, or with those whose trial an interruption has ended."""
        trials, state = self.study.get_trials(deepcopy=False), self.optuna.trial.TrialState
        if not trials:
            self.study.enqueue_trial(self.given)
        for trial in trials:
            if trial.state == state.RUNNING:
                self.study.tell(trial.number, state=state.FAIL)
                self.study.enqueue_trial(trial.params)

    def _attempt(self, trial: FrozenTrial) -> Attempt:
        state = "failed" if trial.state.name == "FAIL" else trial.state.name.lower()
        told = trial.user_attrs
        recall = trial.value if state == "complete" else told["best"]
        return Attempt(self.view, trial.number, dict(trial.params), recall, state, told["seconds"], told["why"])


def _distribution(optuna: Any, values: Range) -> BaseDistribution:
    kinds = optuna.distributions
    if values.choices:
        return kinds.CategoricalDistribution(values.choices)
    whole = isinstance(values.low, int) and isinstance(values.high, int)
    kind = kinds.IntDistribution if whole else kinds.FloatDistribution
    return kind(values.low, values.high, log=values.log)
