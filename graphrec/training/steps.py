"""Which batches and which step a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from graphrec.config import RunConfig, TrainingConfig
from graphrec.errors import UsageError
from graphrec.models import EmbeddingModel
from graphrec.sampling import BatchSampler, Fanout, NeighborSampler, groups_of
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


def make_step(model: EmbeddingModel, config: TrainingConfig, batches: BatchSampler, device: torch.device) -> Step:
    """The step that a configuration asks for.

    Args:
        model: on the device, or, where neighbours are sampled, on the CPU.
        config: of training.
        batches: that the step is to take.
        device: where to compute.

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
    sampler = NeighborSampler(model.graph, fanout_for(model, config.fanout))
    return SampledStep(model, device, torch.optim.Adam(others, fused=True) if others else None, rows, sampler)


def check_sampling(config: RunConfig, relations: Sequence[str]) -> None:
    """Refuse a fan-out that does not fit the models, before anything is trained.

    Args:
        config: of a run.
        relations: of the data's graph, by edge type, inverses included.

    Raises:
        UsageError: it names no kind of edge, or has not a hop for each layer.
    """
    fanout = config.training.fanout
    if config.training.sampling == "full" or not fanout:
        return
    _, counts = groups_of(relations, fanout)
    for name, settings in config.models.items():
        layers = getattr(settings, "layers", len(counts))
        if layers != len(counts):
            message = f"the fan-out has {len(counts)} hops, {name} has {layers} layers"
            raise UsageError(message, "give one number for each layer")
    interacts = relations[0]
    if isinstance(fanout, Mapping) and interacts not in fanout and "lightgcn" in config.models:
        raise UsageError(f"lightgcn needs a fan-out for {interacts}", f"add --fanout {interacts}=10,10, say")


def fanout_for(model: EmbeddingModel, fanout: Fanout) -> Fanout:
    """The fan-out for a model, without kinds of edges that its graph leaves out; an empty one is 10 in each layer."""
    if isinstance(fanout, Mapping) and model.graph.num_relations == 2:
        return {kind: counts for kind, counts in fanout.items() if kind == model.graph.relations[0]}
    return fanout or (FANOUT,) * model.settings.layers
