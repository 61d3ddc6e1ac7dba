"""Where recommenders come from: training, and run folders."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from graphrec.config import RunConfig, make_config
from graphrec.data import Dataset
from graphrec.recommender.face import Recommender
from graphrec.runs import Run, load_run, start_of
from graphrec.training import Epoch, fit_model, settle_views


def train(
    data: Dataset,
    model: str = "fused",
    *,
    config: RunConfig | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    **options: Any,
) -> Recommender:
    """Train a model on a dataset.

    Args:
        data: as ``read_dataset`` gives it.
        model: its name (``fused``, ``gat``, ``lightgcn``, ``item_knn``, ``popularity``).
        config: a whole configuration, instead of ``model`` and ``options``.
        on_epoch: called after each epoch.
        options: as ``graphrec.config.make_config`` takes them: epochs, seed, width, layers, loss, refit, …

    Raises:
        UsageError: an unknown model or option, or a value that breaks a rule.
        DataError: the data cannot carry the model, or hold no pair to learn from; views of a fusion that they cannot
            carry are left out instead.
        TrainingError: the loss is no longer finite.
        RunError: the run to start from (``warm_start``) is none.
    """
    chosen = settle_views(make_config(model, **options) if config is None else config, data)
    fitted = fit_model(data, chosen, start=start_of(chosen), on_epoch=on_epoch)
    return Recommender(Run.from_fitted(data, chosen, fitted))


def load(folder: str | PathLike[str]) -> Recommender:
    """Read a run folder.

    Raises:
        RunError: no run, an unfinished one, or a damaged one.
    """
    return Recommender(load_run(Path(folder)))
