"""Which pairs and negatives a training step sees."""

from __future__ import annotations

from graphrec.sampling.batches import Batch, BatchSampler, generator_for
from graphrec.sampling.negatives import NegativeSampler, used_in_batch

__all__ = ["Batch", "BatchSampler", "NegativeSampler", "generator_for", "used_in_batch"]
