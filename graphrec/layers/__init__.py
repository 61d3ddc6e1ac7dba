"""Layers of propagation: tensors and CSR in, tensors out."""

from __future__ import annotations

from graphrec.layers.gat import GATLayer, merge_groups
from graphrec.layers.lightgcn import drop_pairs, layer_sum, propagate_mean, propagate_mean_to, propagate_noisy

__all__ = [
    "GATLayer",
    "drop_pairs",
    "layer_sum",
    "merge_groups",
    "propagate_mean",
    "propagate_mean_to",
    "propagate_noisy",
]
