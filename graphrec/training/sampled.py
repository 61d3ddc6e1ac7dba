"""A step of training on a sample of the batch's neighbourhood: its cost depends on the fan-out, not on the graph.

The table of layer-0 vectors is read and changed in the sample's rows alone. The next samples are drawn in a thread of
their own while a step computes. Graph, table and optimisers are in the machine's memory whatever the device; to a GPU
go a sample's edges and rows, and back come the rows' gradients. (That form has not run on a GPU yet.)

B pairs, n nodes in a sample, W width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import embedding

from graphrec.graph import Block
from graphrec.models import EmbeddingModel
from graphrec.sampling import Batch, NeighborSampler, blocks_of
from graphrec.training.checkpoint import State, optimizer_state, restore_optimizer
from graphrec.training.rows import RowOptimizer
from graphrec.training.step import Step

AHEAD = 2  # samples drawn before they are needed
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch with the sample that its step runs on.

    Args:
        batch: pairs and negatives.
        place: int64, where each of ``model.batch_nodes(batch)`` stands among the seeds.
        nodes: int64 [n], the sample's nodes, the seeds first.
        blocks: as ``propagate_sample`` takes them.
        num_seeds: how many seeds there are.
    """

    batch: Batch
    place: Tensor
    nodes: Tensor
    blocks: list[Block]
    num_seeds: int


class SampledStep(Step):
    """Trains a model on one batch and its sample a call.

    The pairs that the batch is to predict are no edges of its sample, in either direction.

    Args:
        model: on the CPU, in training mode.
        device: where samples are computed.
        optimizer: of its parameters but the table; None where there are none.
        rows: of the table.
        sampler: on the model's graph, with a hop for each of its layers.
    """

    model: EmbeddingModel

    def __init__(
        self,
        model: EmbeddingModel,
        device: torch.device,
        optimizer: torch.optim.Optimizer | None,
        rows: RowOptimizer,
        sampler: NeighborSampler,
    ) -> None:
        self.model = model
        self.device = device
        self.loss = SampleLoss(model)
        self.dense = optimizer
        self.rows = rows
        self.sampler = sampler

    def prepared(self, batches: Iterator[Batch]) -> Iterator[Prepared]:
        return ahead(self.prepare, batches)

    def prepare(self, batch: Batch) -> Prepared:
        """Draw the sample of a batch; every draw follows from the batch's generator."""
        seeds, place = self.model.batch_nodes(batch).unique(return_inverse=True)
        number = int(torch.randint(2**62, (), generator=batch.generator))
        pairs = (batch.user, batch.positive + self.model.graph.num_users)
        sample = self.sampler.sample(seeds, seed=number, removed=pairs)
        blocks = [block.to(self.device) for block in blocks_of(self.sampler, sample)]
        return Prepared(batch, place.to(self.device), sample.nodes, blocks, sample.num_seeds)

    def __call__(self, prepared: Prepared) -> Tensor:
        first = self.model.table.detach()[prepared.nodes].float().requires_grad_()
        moved = {name: parameter.to(self.device) for name, parameter in self.loss.named_parameters()
                 if parameter is not self.model.table}  # fmt: skip
        loss: Tensor = functional_call(self.loss, moved, (prepared, first.to(self.device)))
        if self.dense is not None:
            self.dense.zero_grad(set_to_none=True)
        loss.backward()
        if self.dense is not None:
            self.dense.step()
        assert first.grad is not None
        self.rows.step(prepared.nodes, first.grad)
        return loss.detach()

    def state(self) -> State:
        dense = {} if self.dense is None else optimizer_state(self.dense)
        return dense | {f"table.{name}": tensor for name, tensor in self.rows.state().items()}

    def restore(self, state: State) -> None:
        own = {name.removeprefix("table."): tensor for name, tensor in state.items() if name.startswith("table.")}
        self.rows.restore(own)
        if self.dense is not None:
            restore_optimizer(self.dense, {name: state[name] for name in state if not name.startswith("table.")})


class SampleLoss(nn.Module):
    """A model's loss on a prepared batch, as a module whose parameters can be had elsewhere.

    Args:
        model: whose loss.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, prepared: Prepared, first: Tensor) -> Tensor:
        """The loss, a scalar; ``first`` is the layer-0 vectors of the sample's nodes, float32 [n, W]."""
        batch, place, seeds = prepared.batch, prepared.place, prepared.num_seeds
        generator = batch.generator
        if first.is_cuda:  # dropout is drawn where the vectors are
            generator = torch.Generator(first.device).manual_seed(batch.generator.initial_seed())
        final = self.model.propagate_sample(prepared.blocks, first, seeds, generator)
        return self.model.batch_loss(batch, embedding(place, final), embedding(place, first[:seeds]))


def ahead(function: Callable[[Given], Made], values: Iterable[Given], depth: int = AHEAD) -> Iterator[Made]:
    """``map`` in a thread of its own, up to ``depth`` results before they are asked for, in order.

    >>> list(ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="graphrec-ahead") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for value in values:
                waiting.append(pool.submit(function, value))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # a consumer that stops early waits for no more than the sample being drawn
            for future in waiting:
                future.cancel()
