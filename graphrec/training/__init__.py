"""Training: one loop for all models, checkpoints, stacking of views."""

from __future__ import annotations

from graphrec.training.fitting import (
    TRAIN_PARTS,
    Fitted,
    checked_device,
    extend_model,
    fit_model,
    graph_for,
    part_csr,
)
from graphrec.training.stacking import FusionReport, fit_fusion
from graphrec.training.trainer import Epoch, Trainer
from graphrec.training.warm import Start

__all__ = [
    "TRAIN_PARTS",
    "Epoch",
    "Fitted",
    "FusionReport",
    "Start",
    "Trainer",
    "checked_device",
    "extend_model",
    "fit_fusion",
    "fit_model",
    "graph_for",
    "part_csr",
]
