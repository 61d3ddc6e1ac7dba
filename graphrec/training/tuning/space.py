"""What there is to search: the settings that say so themselves, and a configuration with some of them changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from graphrec.config import RunConfig, TrainingConfig, parse_config
from graphrec.models import Fused, TrainedModel, model_class
from graphrec.models.base import Range, ranges_of

Space = dict[str, Range]
RATE = "learning_rate"


def search_space(config: RunConfig, held: Collection[str] = ()) -> dict[str, Space]:
    """What a search may change: settings by view, views without gradients first and a fusion last.

    Args:
        config: of the run.
        held: what stays, as ``view.setting``; ``training.learning_rate`` is that of all views.

    >>> from graphrec.config import make_config
    >>> list(search_space(make_config("ease"), held=["ease.neighbours"])["ease"])
    ['recency', 'ridge']
    """
    fused = config.model == Fused.name
    views = sorted(config.models[config.model].views if fused else [config.model], key=is_trained)
    found: dict[str, Space] = {}
    for view in [*views, config.model] if fused else views:
        space = ranges_of(type(config.models[view]))
        if is_trained(view) and f"training.{RATE}" not in held:
            space |= {RATE: _rates()}
        space = {name: values for name, values in space.items() if f"{view}.{name}" not in held}
        found |= {view: space} if space else {}
    return found


def held_by(given: Mapping[str, Any]) -> list[str]:
    """What somebody has decided already, as ``search_space`` takes it.

    Args:
        given: nested values as ``laid_over`` returns them.

    >>> held_by({"models": {"gat": {"layers": 2}}, "training": {"epochs": 3}, "view_training": {}})
    ['gat.layers', 'training.epochs']
    """
    tables = [*given.get("models", {}).items(), ("training", given.get("training", {}))]
    tables += given.get("view_training", {}).items()
    return [f"{table}.{name}" for table, own in tables for name in own]


def current(config: RunConfig, view: str, space: Space) -> dict[str, Any]:
    """The values that a view has now."""
    known = {RATE: config.training_of(view).learning_rate}
    return {name: getattr(config.models[view], name, known.get(name)) for name in space}


def changed(config: RunConfig, view: str, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with other settings of a view.

    Raises:
        UsageError: they do not fit each other.

    >>> from graphrec.config import make_config
    >>> config = changed(make_config("fused"), "gat", {"layers": 1, "learning_rate": 0.002})
    >>> config.models["gat"].layers, config.training_of("gat").learning_rate, config.training.learning_rate
    (1, 0.002, 0.01)
    """
    nested, values = config.model_dump(mode="json"), dict(values)
    if RATE in values:
        alone = view == config.model and view not in config.view_training
        own = nested["training"] if alone else nested["view_training"].setdefault(view, {})
        own[RATE] = values.pop(RATE)
    nested["models"][view] |= values
    return parse_config(nested)


def only(config: RunConfig, view: str) -> RunConfig:
    """The configuration of a fusion with one view alone; that of a single model as it is."""
    if config.model != Fused.name:
        return config
    nested = config.model_dump(mode="json")
    kept = {config.model: nested["models"][config.model] | {"views": [view]}, view: nested["models"][view]}
    own = {name: values for name, values in nested["view_training"].items() if name == view}
    return parse_config(nested | {"models": kept, "view_training": own})


def is_trained(view: str) -> bool:
    """Whether a view learns by gradient."""
    return issubclass(model_class(view), TrainedModel)


def _rates() -> Range:
    """The learning rates to try, which stand beside the setting."""
    return next(found for found in TrainingConfig.model_fields[RATE].metadata if isinstance(found, Range))
