"""A finished run in memory, and what can be started from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from graphrec.config import RunConfig
from graphrec.data import Dataset
from graphrec.models import Model
from graphrec.sampling import Fanout
from graphrec.training import Fitted, Start, extend_model, parts_of


@dataclass(frozen=True)
class Run:
    """A finished run in memory: all that recommending needs.

    Args:
        dataset: ids, rows and knowledge it was trained on.
        config: how.
        model: fitted, ready to score.
        metrics: by part (``valid``, ``test``, ``baselines``), and ``epochs`` and ``fusion``; ``choice`` and ``tuning``
            where the configuration was chosen or searched.
        history: a row an epoch.
    """

    dataset: Dataset
    config: RunConfig
    model: Model
    metrics: dict[str, Any]
    history: pd.DataFrame

    @classmethod
    def from_fitted(cls, dataset: Dataset, config: RunConfig, fitted: Fitted) -> Run:
        """What a training gave."""
        fusion = fitted.fusion.to_json() if fitted.fusion else None
        metrics = {"valid": fitted.valid, "epochs": fitted.epochs, "fusion": fusion, "known_rows": fitted.known_rows}
        return cls(dataset, config, fitted.model, metrics, fitted.history)

    def as_start(self) -> Start:
        """What training on newer data starts from."""
        return Start(self.dataset, self.model, parts_of(self.config))


def extend_run(run: Run, dataset: Dataset, fanout: Fanout | None = None) -> Run:
    """The run's model on newer data, without training (see ``extend_model``)."""
    start = run.as_start()
    model = extend_model(dataset, run.config, start, fanout)
    metrics = {"valid": {}, "epochs": run.metrics["epochs"], "fusion": run.metrics["fusion"]}
    return Run(dataset, run.config, model, metrics | {"known_rows": start.known_rows(dataset)}, run.history)
