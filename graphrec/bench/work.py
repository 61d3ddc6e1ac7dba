"""The pieces of work that are measured beside the peer's, each as a call without arguments."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.models import LightGCN as PeerLightGCN

from graphrec.bench.measure import Call
from graphrec.bench.pairs import Pairs
from graphrec.layers import GATLayer
from graphrec.models import LightGCN, LightGCNSettings
from graphrec.sampling import BatchSampler, generator_for
from graphrec.sparse import attend, segment_sum, symmetric_normalize

WIDTH, LAYERS, BATCH, HEADS = 64, 3, 2048, 4
STEP = f"LightGCN training step: {LAYERS} layers, width {WIDTH}, batch {BATCH}, BPR, sampling and Adam"
HALF_STEP = f"{STEP}, bfloat16 between layers"
BUILDING = "building the graph, normalised"
Forward = Callable[[], Tensor]


def our_step(pairs: Pairs, precision: str = "float32") -> Call:
    """A training step of our LightGCN as ``graphrec train`` takes it: sampling, loss, gradient, Adam."""
    settings = LightGCNSettings(width=WIDTH, layers=LAYERS, loss="bpr", precision=precision)
    model = LightGCN(pairs.graph(), settings)
    model.reset(generator_for(0))
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    sampler = BatchSampler(model.graph.seen, BATCH, seed=0)
    batches = itertools.chain.from_iterable(map(sampler.epoch, itertools.count(1)))

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(next(batches))
        value = loss.item()
        loss.backward()
        optimizer.step()
        return value

    return step


def peer_step(pairs: Pairs) -> Call:
    """A step of PyG's LightGCN as PyG's own example takes it, with the same batch size, loss and fused Adam.

    It draws its negatives from all items, which is less work than leaving out those that the user has used.
    """
    edge_index, observed = pairs.edge_index(), pairs.one_way()
    generator = generator_for(0)
    model = PeerLightGCN(pairs.num_nodes, WIDTH, LAYERS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        positive = observed[:, torch.randint(observed.shape[1], (BATCH,), generator=generator)]
        negative = pairs.num_users + torch.randint(pairs.num_items, (BATCH,), generator=generator)
        labelled = torch.cat([positive, torch.stack([positive[0], negative])], dim=1)
        high, low = model(edge_index, labelled).chunk(2)
        loss = model.recommendation_loss(high, low, node_id=labelled.unique())
        value = loss.item()
        loss.backward()
        optimizer.step()
        return float(value)

    return step


def our_building(pairs: Pairs) -> Call:
    """From sorted pairs to a symmetric, normalised graph."""
    return lambda: symmetric_normalize(pairs.graph().adjacency)


def peer_building(pairs: Pairs) -> Call:
    """The same by PyG's ``to_undirected`` and ``gcn_norm``."""
    return lambda: gcn_norm(pairs.edge_index(), num_nodes=pairs.num_nodes, add_self_loops=False)


def attention_call(name: str, pairs: Pairs) -> Call:
    """One attention layer, forward and backward, to the gradients of its parameters and its input.

    Args:
        name: ``GATConv`` and ``GATv2Conv`` are PyG's layers; ``additive`` and ``v2`` the same two on our operations,
            with the same parameters and so with the same numbers; ``dot`` the layer of our gat, which knows edge types
            and has no projection.
        pairs: the graph.

    Returns:
        A call that gives the layer's output and the gradient of its input, each [N, W].
    """
    x = torch.randn(pairs.num_nodes, WIDTH, generator=generator_for(0)).requires_grad_()
    gradient = torch.randn(x.shape, generator=generator_for(1))
    forward = ATTENTION[name](pairs, x)

    def call() -> tuple[Tensor, Tensor | None]:
        x.grad = None
        out = forward()
        out.backward(gradient)
        return out.detach(), x.grad

    return call


def _gat_conv(pairs: Pairs, x: Tensor) -> Forward:
    layer, edge_index = _drawn(GATConv), pairs.edge_index()
    return lambda: layer(x, edge_index)


def _gatv2_conv(pairs: Pairs, x: Tensor) -> Forward:
    layer, edge_index = _drawn(GATv2Conv), pairs.edge_index()
    return lambda: layer(x, edge_index)


def _additive(pairs: Pairs, x: Tensor) -> Forward:
    layer, csr, vector = _drawn(GATConv), pairs.graph().adjacency, torch.ones(HEADS, 1)

    def forward() -> Tensor:
        value = layer.lin(x)
        scored = torch.block_diag(*torch.stack([layer.att_dst[0], layer.att_src[0]], dim=-1))  # [W, 2H]
        query, key = (value @ scored).view(-1, HEADS, 2, 1).unbind(2)
        return attend(csr, query, key, _by_head(value), score="additive", vector=vector)[0].flatten(1)

    return forward


def _v2(pairs: Pairs, x: Tensor) -> Forward:
    layer, csr = _drawn(GATv2Conv), pairs.graph().adjacency

    def forward() -> Tensor:
        query, key = _by_head(layer.lin_r(x)), _by_head(layer.lin_l(x))
        return attend(csr, query, key, key, score="v2", vector=layer.att[0])[0].flatten(1)

    return forward


def _dot(pairs: Pairs, x: Tensor) -> Forward:
    layer, csr = GATLayer(WIDTH, HEADS, relations=2), pairs.graph().adjacency
    normalized = symmetric_normalize(csr)
    assert normalized.value is not None
    scale, log_degree = segment_sum(csr, normalized.value), csr.degree.clamp(min=1).float().log()
    return lambda: layer(csr, x, x, row_scale=scale, log_degree=log_degree)[0]


ATTENTION: dict[str, Callable[[Pairs, Tensor], Forward]] = {
    "additive": _additive,
    "v2": _v2,
    "dot": _dot,
    "GATConv": _gat_conv,
    "GATv2Conv": _gatv2_conv,
}


def _drawn(kind: type[Any]) -> Any:
    """A layer of PyG's with the same parameters every time, whatever was drawn before."""
    layer, generator = kind(WIDTH, WIDTH // HEADS, heads=HEADS, add_self_loops=False, bias=False), generator_for(2)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return layer


def _by_head(x: Tensor) -> Tensor:
    """[N, W] as [N, H, W / H]."""
    return x.unflatten(1, (HEADS, -1))
