"""Which batches and which step a configuration asks for."""

from __future__ import annotations

import torch

from graphrec.config import TrainingConfig
from graphrec.models import EmbeddingModel
from graphrec.sampling import BatchSampler, Fanout, NeighborSampler
from graphrec.training.rows import ROW_OPTIMIZERS
from graphrec.training.sampled import FANOUT, SampledStep
from graphrec.training.step import CapturedStep, Step, WholeStep


def make_batches(model: EmbeddingModel, config: TrainingConfig, seed: int) -> BatchSampler:
    """The pairs and negatives to train a model on.

    Where neighbours are sampled, a negative for each pair would have a neighbourhood of its own each; so bpr shares a
    pool there.
    """
    pool = config.pool
    if not pool and config.sampling == "neighbor" and model.settings.loss == "bpr":
        pool = -(-config.batch_size // 4)
    return BatchSampler(model.graph.seen, config.batch_size, seed, pool=pool, pool_by=config.pool_by)


def make_step(model: EmbeddingModel, config: TrainingConfig, batches: BatchSampler) -> Step:
    """The step that a configuration asks for, on the model's device.

    Raises:
        UsageError: the fan-out does not fit the model or its graph.
    """
    groups = model.parameter_groups(config.learning_rate)
    if config.sampling == "full":
        on_gpu = model.graph.device.type == "cuda"
        optimizer = torch.optim.Adam(groups, fused=True, capturable=on_gpu)
        return CapturedStep(model, optimizer, batches) if on_gpu else WholeStep(model, optimizer)
    others = [
        {**group, "params": [parameter for parameter in group["params"] if parameter is not model.table]}
        for group in groups
    ]
    others = [group for group in others if group["params"]]
    rows = ROW_OPTIMIZERS[config.optimizer](model.table, config.learning_rate, batches.seed)
    sampler = NeighborSampler(model.graph, _fanout(model, config))
    return SampledStep(model, torch.optim.Adam(others, fused=True) if others else None, rows, sampler)


def _fanout(model: EmbeddingModel, config: TrainingConfig) -> Fanout:
    """The fan-out for a model; kinds of edges that its graph leaves out are left out."""
    fanout = config.fanout or (FANOUT,) * model.settings.layers
    if isinstance(fanout, dict) and model.graph.num_relations == 2:
        return {kind: counts for kind, counts in fanout.items() if kind == model.graph.relations[0]}
    return fanout
