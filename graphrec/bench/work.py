"""The pieces of work that are measured, ours and the peer's, each as a call without arguments."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn import GATConv
from torch_geometric.nn.models import LightGCN as PeerLightGCN

from graphrec.bench.measure import Call
from graphrec.bench.pairs import Pairs
from graphrec.layers import GATLayer
from graphrec.models import EmbeddingSettings, LightGCN
from graphrec.sampling import BatchSampler, generator_for
from graphrec.sparse import attend, segment_sum, symmetric_normalize

WIDTH, LAYERS, BATCH, HEADS = 64, 3, 2048, 4


def our_step(pairs: Pairs) -> Call:
    """A training step as ``graphrec train`` takes it: sampling, loss, gradient, Adam."""
    model = LightGCN(pairs.graph(), EmbeddingSettings(width=WIDTH, layers=LAYERS, loss="bpr"))
    model.reset(generator_for(0))
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    sampler = BatchSampler(model.graph.seen, BATCH, seed=0)
    batches = itertools.chain.from_iterable(map(sampler.epoch, itertools.count(1)))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(next(batches))
        loss.item()
        loss.backward()
        optimizer.step()

    return step


def peer_step(pairs: Pairs) -> Call:
    """PyG's LightGCN, trained as its own example does, with the same Adam."""
    edge_index = pairs.edge_index()
    positives = torch.from_numpy(np.stack([pairs.user, pairs.item + pairs.num_users]).astype(np.int64))
    model = PeerLightGCN(pairs.num_users + pairs.num_items, WIDTH, LAYERS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    generator = generator_for(0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        positive = positives[:, torch.randint(positives.shape[1], (BATCH,), generator=generator)]
        item = pairs.num_users + torch.randint(pairs.num_items, (BATCH,), generator=generator)
        label_index = torch.cat([positive, torch.stack([positive[0], item])], dim=1)
        high, low = model(edge_index, label_index).chunk(2)
        loss = model.recommendation_loss(high, low, node_id=label_index.unique())
        loss.item()
        loss.backward()
        optimizer.step()

    return step


def attention_call(name: str, pairs: Pairs) -> Call:
    """One attention layer, forward and backward to its parameters and its input.

    Args:
        name: ``additive``: GAT's layer on our operations; ``peer``: PyG's GATConv with the same parameters, which gives
            the same numbers; ``dot``: the layer of graphrec's gat, with edge types and without a projection.
        pairs: the graph.
    """
    peer = GATConv(WIDTH, WIDTH // HEADS, heads=HEADS, add_self_loops=False, bias=False)
    x = torch.randn(pairs.num_users + pairs.num_items, WIDTH, generator=generator_for(0)).requires_grad_()
    gradient = torch.randn(x.shape, generator=generator_for(1))
    edge_index, csr = (pairs.edge_index(), None) if name == "peer" else (None, pairs.graph().adjacency)

    def additive() -> torch.Tensor:
        value = peer.lin(x).unflatten(1, (HEADS, -1))
        query, key = ((value * target).sum(-1, keepdim=True) for target in (peer.att_dst, peer.att_src))
        return attend(csr, query, key, value, score="additive", vector=torch.ones(HEADS, 1))[0].flatten(1)

    forward = {"peer": lambda: peer(x, edge_index), "additive": additive}.get(name)
    if forward is None:
        assert csr is not None
        layer, normalized = GATLayer(WIDTH, HEADS, relations=2), symmetric_normalize(csr)
        assert normalized.value is not None
        scale, log_degree = segment_sum(csr, normalized.value), csr.degree.clamp(min=1).float().log()
        forward = lambda: layer(csr, x, x, row_scale=scale, log_degree=log_degree)[0]  # noqa: E731

    def call() -> torch.Tensor:
        x.grad = None
        out = forward()
        out.backward(gradient)
        return out.detach()

    return call
