"""Views and epochs chosen so that a run ends in a given time, by rules that a person can read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphrec.config import RunConfig, laid_over, parse_config
from graphrec.data import Dataset, Part
from graphrec.errors import CombinationError, SettingError
from graphrec.graph import HeteroGraph, build_graph
from graphrec.models import Fused, TrainedModel, model_class
from graphrec.sparse import CSR
from graphrec.training.fitting import Phases, checked_device, graph_device
from graphrec.training.pace import Clock, Pace, measure, pairs_per_second, seconds_to_fit, seconds_to_fuse
from graphrec.training.recency import choose_recency
from graphrec.training.views import settle_views
from graphrec.wording import duration

SPENT = 0.8  # of the time: reading, writing and what the estimates miss have the rest
CLOSED = 1 / 3  # of that: views without gradients, where the views are chosen
MIN_EPOCHS = 10  # of a trained view that is worth having
SMALL = 5000  # items up to which ease takes the place of rp3beta
EPOCHS_PER_JUDGING = 8
DENSE = 0.005  # of all pairs used: from there on the losses by pairs are ahead of the softmax (Gowalla has .0006)
HOTTEST, COLDEST = 0.8, 0.08  # temperatures of the softmax
SHORT, LONG = 200_000, 1_000_000  # rows to fit on up to which a batch has 1,024 and 2,048 of them; then 4,096

VIEWS: dict[str, dict[str, Any]] = {
    "item_knn": {},
    "spectral": {},
    "rp3beta": {"normalize": True},
    "ease": {},
    "popularity": {},
    "knowledge_knn": {},
    "slim": {},
    "lightgcn": {"layers": 2, "width": 128},
    "gat": {"layers": 2, "relation_gain": True},
    "history": {"pooling": "mean", "temperature": 0.7, "dropout": 0.3},
    "history-sequence": {"pooling": "sequence"},
    "content": {},
}
"""What is proposed, in this order, and with which settings: those without gradients from the surest to the dearest."""
SPARSE: dict[str, dict[str, Any]] = {
    "lightgcn": {"layers": 1, "loss": "softmax", "l2": 1e-4},
    "gat": {"loss": "softmax", "l2": 1e-4, "attention_l2": 1e-3},
}
"""With which settings besides, and a temperature, where the data are not dense."""
RECENT = ("item_knn", "popularity", "spectral", "rp3beta", "ease", "slim", "history")
"""In which newer items count more where select rows say so."""
STRONG = 1.0
"""From which on it takes the place of what users have learned, too, in views of ``SPARSE`` where data are not dense."""


@dataclass(frozen=True)
class Choice:
    """What was chosen for the time there is.

    Args:
        config: to train with; it holds the epochs, and does not look at a clock.
        minutes: asked for.
        expected: minutes that the run is expected to take, the choosing included.
        views: why each view is there, and with how many epochs; those left out are in ``config.left_out``.
    """

    config: RunConfig
    minutes: float
    expected: float
    views: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """What is kept of it in a run folder."""
        return {"minutes": self.minutes, "expected": self.expected, "views": self.views}


def choose(
    dataset: Dataset,
    values: Mapping[str, Any] | None = None,
    *,
    minutes: float,
    clock: Clock = time.perf_counter,
    **options: Any,
) -> Choice:
    """A configuration whose run, refit included, ends within about ``minutes`` on this machine.

    Where neither a model nor views are named, views are proposed (``VIEWS``): ``ease`` up to 5,000 items and
    ``rp3beta`` beyond, ``gat`` where there is knowledge, the others where the data can carry them; ``lightgcn`` and
    ``gat`` learn by softmax where fewer than 1 in 200 of all pairs are used, at a temperature that falls with the rows,
    else by pairs; batches grow with the rows; and how much more newer items count is chosen on select rows
    (``choose_recency``), for views of what one has used and, where it is much, for what is learned by softmax. Of the
    time, a fifth is kept in hand. Views without gradients are taken in their order while all together, and weighing
    them, need no more than a third. Trained views share what is left evenly, less what one cannot use; while one of
    them would get fewer than ten epochs, the one that would get fewest is left out. Where models are named, they stay,
    and the epochs alone are chosen.

    How long things take is measured: a sparse product, and a few steps and lists of each trained view.

    Args:
        dataset: fit and select rows are read.
        values: a configuration's nested values, as TOML holds them; its epochs are the most that are chosen.
        minutes: > 0.
        clock: seconds.
        options: laid over ``values``, as ``override`` takes them.

    Raises:
        UsageError: no time, or what is no configuration, or one that trains views together.
        DataError: no model can be fitted on this data.
    """
    if not minutes > 0:
        raise SettingError(f"minutes must be > 0, got {minutes}")
    begun = clock()
    is_open = _names_no_views(values or {}, options)
    given = laid_over(_proposed(dataset, values or {}) if is_open else values or {}, **options)
    config = settle_views(parse_config({"refit": True} | given), dataset)
    if getattr(config.models[config.model], "fuse", "") == "joint":
        raise CombinationError(
            "a time is shared among views that are each trained alone, not with fuse joint", "give epochs"
        )
    plan = _Plan(dataset, config, SPENT * 60 * minutes, begun, clock)
    plan.take_closed(CLOSED if is_open else 1.0)
    plan.take_trained(MIN_EPOCHS if is_open else 0)
    return Choice(plan.chosen(_unfit(dataset) if is_open else {}), minutes, plan.expected() / 60 / SPENT, plan.why)


class _Plan:
    """Takes views while there is time."""

    def __init__(self, dataset: Dataset, config: RunConfig, seconds: float, begun: float, clock: Clock) -> None:
        device = checked_device(config.device)
        self.config, self.clock, self.begun, self.seconds = config, clock, begun, seconds
        self.graph: HeteroGraph = build_graph(dataset, (Part.FIT,)).to(graph_device(config))
        self.select: CSR = Phases(dataset, config, device).select
        self.speed = pairs_per_second(self.graph.seen, clock)
        self.is_fused = config.model == Fused.name
        self.views: list[str] = list(config.models[config.model].views) if self.is_fused else [config.model]
        self.phases = 2 if config.refit else 1
        self.fitting = 0.0
        self.training = 0.0
        self.why: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.epochs: dict[str, dict[str, int]] = {}

    def take_closed(self, share: float) -> None:
        """Views without gradients while they need no more than a share of the time; the first one stays."""
        for view in [view for view in self.views if not _is_trained(view)]:
            needed = self.phases * seconds_to_fit(view, self.graph, self.config, self.speed)
            taken, there = self.fitting + self._fusing(len(self.why)), share * self.seconds
            added = needed + self._fusing(len(self.why) + 1) - self._fusing(len(self.why))
            if share < 1 and self.why and taken + added > there:
                self.left_out[view] = (
                    f"computing and weighing it would take about {duration(added)}, "
                    f"and {duration(max(there - taken, 0))} are left for such views"
                )
            else:
                self.fitting += needed
                self.why[view] = f"computed in about {duration(needed)}"

    def take_trained(self, least: int) -> None:
        """Trained views, each with an equal share of the time that is left."""
        views = [view for view in self.views if _is_trained(view)]
        paces = {view: measure(view, self.graph, self.config, self.select, self.clock) for view in views}
        left = self.seconds - (self.clock() - self.begun) - self.fitting
        while views:
            found = self._shared(views, paces, max(left - self._fusing(len(self.why) + len(views)), 0.0))
            fewest = min(views, key=lambda view: found[view]["epochs"])
            if found[fewest]["epochs"] >= least or (len(views) == 1 and not self.why):
                break
            self.left_out[fewest] = (
                f"there is time for {found[fewest]['epochs']} epochs of about {duration(paces[fewest].epoch)}, "
                f"and at least {least} are worth it"
            )
            views.remove(fewest)
        for view in views:
            self.epochs[view] = own = {name: max(1, count) for name, count in found[view].items()}
            self.training += own["epochs"] * self._cost(paces[view], own["eval_every"])
            each = duration(paces[view].epoch)
            self.why[view] = f"at most {own['epochs']} epochs of about {each}, judged every {own['eval_every']}"

    def _fusing(self, views: int) -> float:
        """Seconds that weighing so many views takes."""
        if not self.is_fused:
            return 0.0
        return seconds_to_fuse(views, self.graph, self.select, self.config.models[Fused.name], self.speed)

    def _shared(self, views: list[str], paces: Mapping[str, Pace], left: float) -> dict[str, dict[str, int]]:
        """Epochs by view: equal shares of the time, the quickest first, which leave what they cannot use."""
        found = {}
        for place, view in enumerate(sorted(views, key=lambda view: paces[view].epoch)):
            found[view] = own = self._epochs(view, paces[view], left / (len(views) - place))
            left -= own["epochs"] * self._cost(paces[view], own["eval_every"])
        return found

    def _cost(self, pace: Pace, every: int) -> float:
        """Seconds of an epoch with its part of the judging, and of its refit."""
        return max(self.phases * pace.epoch + pace.judging / every, 1e-9)

    def _epochs(self, view: str, pace: Pace, seconds: float) -> dict[str, int]:
        """As many epochs as the time allows, and after how many to judge: at least eight times in all."""
        training = self.config.training_of(view)
        for every in range(training.eval_every, 0, -1):
            count = min(int(seconds / self._cost(pace, every)), training.epochs)
            if count >= EPOCHS_PER_JUDGING * every:
                break
        return {"epochs": count, "eval_every": every}

    def chosen(self, why_not: Mapping[str, str]) -> RunConfig:
        """The configuration of what was taken."""
        nested, model = self.config.model_dump(mode="json"), self.config.model
        nested["left_out"] = {**why_not, **nested["left_out"], **self.left_out}
        if self.is_fused:
            kept = [view for view in self.views if view in self.why]
            nested["models"] = {name: nested["models"][name] for name in (model, *kept)}
            nested["models"][model]["views"] = kept
            ways = nested["view_training"]
            nested["view_training"] = {
                view: ways.get(view, {}) | self.epochs.get(view, {})
                for view in kept
                if view in ways or view in self.epochs
            }
        else:
            nested["training"] |= self.epochs.get(model, {})
        return parse_config(nested)

    def expected(self) -> float:
        """Seconds from the beginning of the choosing to the end of the run."""
        return self.clock() - self.begun + self.fitting + self.training + self._fusing(len(self.why))


def _names_no_views(values: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether the views are left open."""
    fused = options.get("model", values.get("model", Fused.name)) == Fused.name
    return fused and "views" not in options and "views" not in values.get("models", {}).get(Fused.name, {})


def _proposed(dataset: Dataset, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the proposed views, and training that suits the data's size, below them."""
    given, rows = values.get("models", {}), int((dataset.interactions.part == Part.FIT).sum())
    dense = len(dataset.interactions) >= DENSE * dataset.num_users * dataset.num_items
    views = [view for view in VIEWS if view not in _unfit(dataset)]
    recency = choose_recency(dataset)
    models = {}
    for view in views:
        besides = {} if dense or view not in SPARSE else {**SPARSE[view], "temperature": temperature_for(rows)}
        if view in RECENT or (view in SPARSE and not dense and recency >= STRONG):
            besides = {**besides, "recency": recency}
        models[view] = {**VIEWS[view], **besides, **given.get(view, {})}
    training = {"batch_size": 1024 if rows <= SHORT else 2048 if rows <= LONG else 4096, **values.get("training", {})}
    fused = {**given.get(Fused.name, {}), "views": views}
    return {**values, "training": training, "models": {**given, **models, Fused.name: fused}}


def temperature_for(rows: int) -> float:
    """Of the softmax: the more rows there are to fit on, the less its vectors need to be held together.

    >>> [temperature_for(rows) for rows in (10_000, 100_000, 1_000_000)]
    [0.8, 0.28, 0.09]
    """
    return round(min(HOTTEST, max(COLDEST, 90 / max(rows, 1) ** 0.5)), 2)


def _unfit(dataset: Dataset) -> dict[str, str]:
    """Views that the data makes needless, and why."""
    if dataset.num_items <= SMALL:
        found = {"rp3beta": f"ease takes its place up to {SMALL:,} items"}
    else:
        found = {"ease": f"rp3beta takes its place beyond {SMALL:,} items"}
    return found if len(dataset.knowledge) else found | {"gat": "the data has no knowledge to attend to"}


def _is_trained(view: str) -> bool:
    return issubclass(model_class(view), TrainedModel)
