"""Which models a data set can carry."""

from __future__ import annotations

import dataclasses

from graphrec.config import RunConfig
from graphrec.data import Dataset
from graphrec.errors import UnsuitableDataError
from graphrec.graph import HeteroGraph, defer_graph
from graphrec.models import Fused, model_class
from graphrec.training.fitting import parts_of


def settle_views(config: RunConfig, dataset: Dataset) -> RunConfig:
    """The configuration without the views that the data cannot carry; why each is left out stands in ``left_out``.

    Args:
        config: of a run that is about to begin.
        dataset: what it is to be trained on.

    Raises:
        DataError: the model cannot be fitted on this data, or no view of a fusion can.
    """
    left_out = _obstacles(defer_graph(dataset, parts_of(config)), config)
    if not left_out:
        return config.model_copy(update={"left_out": {}}) if config.left_out else config
    kept = tuple(name for name in _names(config) if name not in left_out)
    if not kept:
        raise UnsuitableDataError(
            f"no model can be fitted: {_told(left_out)}", "choose another with --model, or other settings"
        )
    models = {name: settings for name, settings in config.models.items() if name not in left_out}
    models[config.model] = dataclasses.replace(models[config.model], views=kept)
    return config.model_copy(update={"models": models, "left_out": left_out})


def check_views(config: RunConfig, graph: HeteroGraph) -> None:
    """Refuse newer data that some view of a finished run cannot carry: a fusion's weights are for all its views.

    Args:
        config: of the run.
        graph: of the newer data.

    Raises:
        DataError: naming each such view, and why.
    """
    found = _obstacles(graph, config)
    if found:
        hint = "train anew on it, which leaves such views out of a fusion"
        raise UnsuitableDataError(f"the run cannot be extended with this data: {_told(found)}", hint)


def _obstacles(graph: HeteroGraph, config: RunConfig) -> dict[str, str]:
    """Why a graph cannot carry the configured model, or which views of a fusion and why; empty if it carries all."""
    found = {name: model_class(name).obstacle(graph, config.models[name]) for name in _names(config)}
    return {name: why for name, why in found.items() if why is not None}


def _names(config: RunConfig) -> tuple[str, ...]:
    """The model, or a fusion's views."""
    return tuple(config.models[config.model].views) if config.model == Fused.name else (config.model,)


def _told(found: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in found.items())
