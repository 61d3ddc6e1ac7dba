"""Layers of propagation: tensors and CSR in, tensors out."""

from graphrec.layers.gat import GATLayer
from graphrec.layers.lightgcn import layer_sum, propagate_mean

__all__ = ["GATLayer", "layer_sum", "propagate_mean"]
