"""Which of a fusion's views a data set can carry."""

from __future__ import annotations

import dataclasses

from graphrec.config import RunConfig
from graphrec.data import Dataset
from graphrec.errors import DataError
from graphrec.graph import defer_graph
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
    graph = defer_graph(dataset, parts_of(config))
    names = config.models[config.model].views if config.model == Fused.name else (config.model,)
    obstacles = {name: model_class(name).obstacle(graph, config.models[name]) for name in names}
    left_out = {name: why for name, why in obstacles.items() if why is not None}
    if not left_out:
        return config.model_copy(update={"left_out": {}}) if config.left_out else config
    kept = tuple(name for name in names if name not in left_out)
    if not kept:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise DataError(f"no model can be fitted: {told}", "choose another with --model")
    models = {name: settings for name, settings in config.models.items() if name not in left_out}
    models[config.model] = dataclasses.replace(models[config.model], views=kept)
    return config.model_copy(update={"models": models, "left_out": left_out})
