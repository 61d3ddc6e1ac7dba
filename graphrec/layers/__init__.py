"""Layers of propagation, of what a history says, and of views: tensors and CSR in, tensors out."""

from __future__ import annotations

from graphrec.layers.content import ModalityAttention
from graphrec.layers.dropout import dropped
from graphrec.layers.fusion import CONTEXTS, combine, nearness_loss, weigh
from graphrec.layers.gat import SCORES, GATLayer, merge_groups
from graphrec.layers.history import HistoryAttention
from graphrec.layers.lightgcn import drop_pairs, layer_sum, propagate_mean, propagate_mean_to, propagate_noisy
from graphrec.layers.sequence import SequenceEncoder

__all__ = [
    "CONTEXTS",
    "SCORES",
    "GATLayer",
    "HistoryAttention",
    "ModalityAttention",
    "SequenceEncoder",
    "combine",
    "drop_pairs",
    "dropped",
    "layer_sum",
    "merge_groups",
    "nearness_loss",
    "propagate_mean",
    "propagate_mean_to",
    "propagate_noisy",
    "weigh",
]
