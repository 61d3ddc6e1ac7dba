"""Which batches and which step a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from graphrec.config import RunConfig, TrainingConfig
from graphrec.errors import CombinationError
from graphrec.graph.hetero import INTERACTS, assemble
from graphrec.models import EmbeddingModel, TrainedModel, build_model, views_of
from graphrec.sampling import BatchSampler, Fanout, NeighborSampler, groups_of
from graphrec.training.rows import ROW_OPTIMIZERS
from graphrec.training.sampled import SampledStep
from graphrec.training.step import CapturedStep, Step, WholeStep

FANOUT = 10  # edges of a node in each hop, unless asked otherwise


def make_batches(model: TrainedModel, config: TrainingConfig, seed: int) -> BatchSampler:
    """The pairs and negatives to train a model on; none of the latter are drawn where its loss takes none.

    Where neighbours are sampled, a negative for each pair would have a neighbourhood of its own each; so bpr shares a
    pool there.
    """
    pool, sampled = config.pool, config.sampling == "neighbor" and isinstance(model, EmbeddingModel)
    if not pool and sampled and model.paired:
        pool = -(-config.batch_size // 4)
    return BatchSampler(
        model.graph.seen,
        config.batch_size,
        seed,
        pool=pool,
        pool_by=config.pool_by,
        paired=model.paired,
        whole_users=model.whole_users,
    )


def make_step(model: TrainedModel, config: TrainingConfig, batches: BatchSampler, device: torch.device) -> Step:
    """The step that a configuration asks for.

    A model that does not propagate reads nothing but its batches: it trains alike where others sample neighbours.

    Args:
        model: on the device, or, where neighbours are sampled, on the CPU.
        config: of training.
        batches: that the step is to take.
        device: where to compute.

    Raises:
        UsageError: the fan-out does not fit the model or its graph.
    """
    groups = model.parameter_groups(config.learning_rate)
    if config.sampling == "full" or not isinstance(model, EmbeddingModel):
        captured = model.graph.device.type == "cuda" and model.capturable
        optimizer = torch.optim.Adam(groups, fused=True, capturable=captured)
        return CapturedStep(model, optimizer, batches) if captured else WholeStep(model, optimizer)
    others = [
        {**group, "params": [parameter for parameter in group["params"] if parameter is not model.table]}
        for group in groups
    ]
    others = [group for group in others if group["params"]]
    rows = ROW_OPTIMIZERS[config.optimizer](model.table, config.learning_rate, batches.seed)
    sampler = sampler_for(model, config.fanout)
    return SampledStep(model, device, torch.optim.Adam(others, fused=True) if others else None, rows, sampler)


def sampler_for(model: EmbeddingModel, fanout: Fanout) -> NeighborSampler:
    """A sampler on a model's graph.

    Args:
        model: whose graph and layers the fan-out is to fit.
        fanout: as ``NeighborSampler`` takes it; kinds that a graph of interactions alone lacks are left out, and an
            empty one is 10 in each layer.

    Raises:
        UsageError: it names no kind of edge of the graph, or has not a hop for each layer; or the model has no layers.
    """
    layers = model.settings.layers
    if layers == 0:
        hint = "leave out the sampling, or ask for --layers 1"
        raise CombinationError(f"{model.name} with 0 layers has no neighbours to sample", hint)
    if isinstance(fanout, Mapping) and model.graph.num_relations == 2:
        if INTERACTS not in fanout:
            raise CombinationError(
                f"{model.name} needs a fan-out for {INTERACTS}", f"add --fanout {INTERACTS}=10,10, say"
            )
        fanout = {INTERACTS: fanout[INTERACTS]}
    sampler = NeighborSampler(model.graph, fanout or (FANOUT,) * layers)
    if sampler.layers != layers:
        message = f"the fan-out has {sampler.layers} hops, {model.name} has {layers} layers"
        raise CombinationError(message, "give one number for each layer")
    return sampler


def check_sampling(config: RunConfig, relations: Sequence[str]) -> None:
    """Refuse a fan-out that does not fit the models, before anything is trained.

    Args:
        config: of a run.
        relations: of the data's graph, by edge type, inverses included.

    Raises:
        UsageError: as ``sampler_for``.
    """
    fanout, nothing = config.training.fanout, np.zeros(0, np.int32)
    if config.training.sampling == "full":
        return
    if fanout:
        groups_of(relations, fanout)
    edgeless = assemble((0, 0, 0), relations[::2], nothing, nothing, nothing)
    for view in views_of(build_model(config.model, edgeless, config.models)).values():
        if isinstance(view, EmbeddingModel):
            sampler_for(view, fanout)
