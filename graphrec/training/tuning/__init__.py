"""Settings chosen by search: each view's on the select rows, then the fusion's, in a given time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from graphrec.config import RunConfig
from graphrec.data import Dataset, Part
from graphrec.errors import CombinationError, NothingLeftError, SettingError
from graphrec.evaluation import evaluate
from graphrec.graph import HeteroGraph, build_graph
from graphrec.models import Fused, Model, views_of
from graphrec.models.timeline import has_times
from graphrec.sparse import CSR
from graphrec.training.fitting import Phases, checked_device, graph_device, part_csr
from graphrec.training.stacking import MIN_USERS, fit_fusion
from graphrec.training.trainer import METRIC, Epoch, Stride
from graphrec.training.tuning.space import Space, changed, current, held_by, is_trained, only, search_space
from graphrec.training.tuning.study import MAX_TRIALS, Attempt, Judge, Report, ViewStudy, load_optuna, open_journal

JOURNAL = "tuning.jsonl"


@dataclass(frozen=True)
class Search:
    """What a search found for one view, or for the fusion under its name.

    Args:
        view: name.
        settings: the best, of those that were searched; those of the configuration where nothing was ahead of them.
        recall: recall@20 on the select rows with them; None where no trial came to a figure.
        given_recall: the same with the settings of the configuration.
        trials: how many ended; pruned, failed: of those, broken off and in error.
        seconds: of all of them.
    """

    view: str
    settings: dict[str, Any]
    recall: float | None
    given_recall: float | None
    trials: int
    pruned: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """A configuration with the settings that a search found.

    Args:
        config: to train with.
        minutes: that the search was given.
        searches: in the order of searching.
    """

    config: RunConfig
    minutes: float
    searches: tuple[Search, ...]

    def to_json(self) -> dict[str, Any]:
        """What is kept of it in a run folder."""
        return {"minutes": self.minutes, "searches": [asdict(search) for search in self.searches]}


def tune(
    dataset: Dataset,
    config: RunConfig,
    *,
    minutes: float,
    held: Collection[str] = (),
    folder: Path | None = None,
    on_trial: Callable[[Attempt], None] = lambda attempt: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_stride: Callable[[Stride], None] = lambda stride: None,
    clock: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Search the settings of each view, then of the fusion, for the best recall@20 on the select rows.

    What is searched says so beside the setting (``models.base.searched``). Views without gradients come first; each in
    turn has an equal share of the time that is left, and leaves what it does not need to the others. The first trial is
    the configuration as it is, so nothing is chosen that is behind it. Then a tree-structured Parzen estimator proposes
    (Bergstra et al. 2011, *Algorithms for hyper-parameter optimization*). A trial is broken off where its best
    evaluation so far is below the median of the others' at that epoch; when the time of its view is over it ends with
    what it has reached. For the fusion, the views are trained once with the settings found, which is no part of the
    time: with ``folder``, ``fit_model`` goes on from there. Blend rows fit the fusion's weights; test rows are unread.

    Args:
        dataset: fit and select rows; for a fusion, blend rows.
        config: where to begin; views that the data cannot carry are left out already (``settle_views``).
        minutes: > 0 for all views together. The first trial without gradients of a view is not cut off.
        held: settings to leave alone, as ``view.setting`` or ``training.learning_rate``.
        folder: for the journal and the checkpoints, those of the later training; a search that stopped goes on from
            it. None keeps nothing.
        on_trial: called after each trial.
        on_epoch, on_stride: as for ``fit_model``.
        clock: seconds.

    Raises:
        MissingExtraError: optuna is not installed.
        UsageError: nothing to search, or no time.
        DataError: no select rows to judge by.
        RunError: the journal is damaged.
    """
    check_search(config, minutes, held)
    bench = _Bench(dataset, config, folder, on_epoch, on_stride)
    spaces, left, searches = bench.spaces(held), 60 * minutes, []
    storage = open_journal(None if folder is None else folder / JOURNAL)
    for place, (view, space) in enumerate(spaces.items()):
        given = current(bench.config, view, space)
        study = ViewStudy(storage, view, space, given, config.seed)
        share, judge = left / (len(spaces) - place), None
        while (spent := _more(study, share)) is not None:
            judge = judge or bench.judge(view)  # for a fusion, that trains its views
            on_trial(study.run(judge, clock, share - spent))
        search = _outcome(view, study.attempts(), given)
        bench.config = changed(bench.config, view, search.settings)
        searches.append(search)
        left = max(left - search.seconds, 0.0)
    return Tuned(bench.config, minutes, tuple(searches))


def check_search(config: RunConfig, minutes: float, held: Collection[str] = ()) -> None:
    """Refuse a search that cannot be, before anything is written.

    Raises:
        MissingExtraError: optuna is not installed.
        UsageError: nothing to search, no time, or training that begins with another run's vectors or is of all views
            together.
    """
    if not minutes > 0:
        raise SettingError(f"tune must be > 0 minutes, got {minutes}")
    if config.warm_start:
        raise CombinationError("a search trains from the start, and warm_start does not", "tune first, without it")
    if getattr(config.models[config.model], "fuse", "") == "joint":
        raise CombinationError("a search trains each view alone, and fuse joint does not", "tune with --fuse stacked")
    if not search_space(config, held):
        raise CombinationError("nothing to search: all that can be searched is given", "train without tuning")
    load_optuna()


@dataclass
class _Bench:
    """Judges settings; the configuration takes on what has been found so far."""

    dataset: Dataset
    config: RunConfig
    folder: Path | None
    on_epoch: Callable[[Epoch], None]
    on_stride: Callable[[Stride], None]

    def __post_init__(self) -> None:
        self.device = checked_device(self.config.device)
        self.graph: HeteroGraph = build_graph(self.dataset, (Part.FIT,)).to(graph_device(self.config))
        self.select: CSR = Phases(self.dataset, self.config, self.device).select
        if not self.select.num_edges:
            raise NothingLeftError("the data has no select rows to judge a search by", "build the graph with more rows")

    def spaces(self, held: Collection[str]) -> dict[str, Space]:
        """What to search; no recency without times, nor a fusion's settings where too few people have blend rows."""
        found = search_space(self.config, held)
        if not has_times(self.graph):
            found = {view: {name: own[name] for name in own if name != "recency"} for view, own in found.items()}
        people = int(((self.blend.degree > 0) & (self.graph.seen.degree > 0)).sum())
        return {view: space for view, space in found.items() if view != Fused.name or people >= MIN_USERS}

    @property
    def blend(self) -> CSR:
        return part_csr(self.dataset, Part.BLEND, self.graph.device)

    def judge(self, view: str) -> Judge:
        """What fits a view, or the fusion, with given settings, and says its recall@20 on the select rows."""
        return self._fusion() if view == Fused.name else partial(self._fitted, view)

    def _fitted(self, view: str, settings: dict[str, Any], report: Report) -> float:
        config = only(changed(self.config, view, settings), view)

        def on_epoch(epoch: Epoch) -> None:
            self.on_epoch(epoch)
            if epoch.metric is not None:
                report(epoch.epoch, epoch.metric)

        phases = Phases(self.dataset, config, self.device, on_epoch=on_epoch, on_stride=self.on_stride)
        fitted = views_of(phases.fit_on(self.graph, "select", {}))[view]
        return phases.progress[view].best_metric if is_trained(view) else self._recall(fitted)

    def _fusion(self) -> Judge:
        """The views trained once; settings fit the fusion's weights over them on the blend rows."""
        told: Any = {"on_epoch": self.on_epoch, "on_stride": self.on_stride}
        phases = Phases(self.dataset, self.config, self.device, checkpoints=self.folder, **told)
        fused = phases.fit_on(self.graph, "select", {})
        assert isinstance(fused, Fused)

        def judged(settings: dict[str, Any], report: Report) -> float:
            fused.settings = replace(fused.settings, **settings)
            fit_fusion(fused, self.blend, seed=self.config.seed)
            return self._recall(fused)

        return judged

    def _recall(self, model: Model) -> float:
        judged = evaluate(model.score_block, train=self.graph.seen, test=self.select, ks=(20,))
        return judged.metrics[METRIC]


def _more(study: ViewStudy, share: float) -> float | None:
    """The seconds spent so far, or None where no further trial is to begin.

    One begins where it would end in time if it took as long as those before did on average.
    """
    taken = [attempt.seconds for attempt in study.attempts()]
    spent = sum(taken)
    expected = spent / len(taken) if taken else 0.0
    return spent if len(taken) < MAX_TRIALS and spent + expected < share else None


def _outcome(view: str, attempts: list[Attempt], given: dict[str, Any]) -> Search:
    """The best of the trials; of equals the first."""
    done = [attempt for attempt in attempts if attempt.state == "complete" and attempt.recall is not None]
    best = max(done, key=lambda attempt: attempt.recall or 0.0, default=None)
    states = [attempt.state for attempt in attempts]
    return Search(
        view,
        best.settings if best else given,
        best.recall if best else None,
        next((attempt.recall for attempt in done if attempt.settings == given), None),
        trials=len(attempts),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        seconds=sum(attempt.seconds for attempt in attempts),
    )


__all__ = ["Attempt", "Search", "Tuned", "check_search", "held_by", "search_space", "tune"]
