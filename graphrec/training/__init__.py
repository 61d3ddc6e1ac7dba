"""Training: one loop for all models, checkpoints, stacking of views, inference."""

from __future__ import annotations

from graphrec.training.checkpoint import write_tensors
from graphrec.training.choice import Choice, choose
from graphrec.training.extending import extend_model
from graphrec.training.fitting import (
    TRAIN_PARTS,
    Fitted,
    checked_device,
    fit_model,
    graph_for,
    negatives_csr,
    part_csr,
    parts_of,
)
from graphrec.training.inference import infer_vectors, settle_vectors
from graphrec.training.recency import choose_recency
from graphrec.training.stacking import FusionReport, fit_fusion
from graphrec.training.steps import check_sampling
from graphrec.training.trainer import Epoch, Stride, Trainer
from graphrec.training.tuning import Attempt, Tuned, check_search, held_by, tune
from graphrec.training.views import settle_views
from graphrec.training.warm import Start

__all__ = [
    "TRAIN_PARTS",
    "Attempt",
    "Choice",
    "Epoch",
    "Fitted",
    "FusionReport",
    "Start",
    "Stride",
    "Trainer",
    "Tuned",
    "check_sampling",
    "check_search",
    "checked_device",
    "choose",
    "choose_recency",
    "extend_model",
    "fit_fusion",
    "fit_model",
    "graph_for",
    "held_by",
    "infer_vectors",
    "negatives_csr",
    "part_csr",
    "parts_of",
    "settle_vectors",
    "settle_views",
    "tune",
    "write_tensors",
]
