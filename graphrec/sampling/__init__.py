"""Which pairs and negatives a training step sees."""

from __future__ import annotations

from graphrec.sampling.batches import Batch, BatchSampler, generator_for
from graphrec.sampling.blocks import blocks_of
from graphrec.sampling.fanouts import ALL, Fanout, groups_of
from graphrec.sampling.negatives import NegativeSampler, used_in_batch
from graphrec.sampling.neighbors import Hop, NeighborSampler, Sample

__all__ = [
    "ALL",
    "Batch",
    "BatchSampler",
    "Fanout",
    "Hop",
    "NegativeSampler",
    "NeighborSampler",
    "Sample",
    "blocks_of",
    "generator_for",
    "groups_of",
    "used_in_batch",
]
