"""Layers of propagation: tensors and CSR in, tensors out."""

from __future__ import annotations

from graphrec.layers.content import ModalityAttention
from graphrec.layers.gat import GATLayer, merge_groups
from graphrec.layers.lightgcn import layer_sum, propagate_mean, propagate_mean_to

__all__ = ["GATLayer", "ModalityAttention", "layer_sum", "merge_groups", "propagate_mean", "propagate_mean_to"]
