"""From a sample to the blocks that a model's layers run on.

G groups of edge types, K hops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphrec.graph import Block
from graphrec.sampling.neighbors import NeighborSampler, Sample


def blocks_of(sampler: NeighborSampler, sample: Sample) -> list[Block]:
    """A sample's blocks, the one of layer 1 first: layer k of K runs on hop K − k.

    Args:
        sampler: that drew the sample, uniformly and without times.
        sample: of K hops.
    """
    counts = _counts(sampler, sample.nodes[: sample.hops[-1].csr.num_rows])
    groups = sampler.groups.tolist()
    return [
        Block(
            hop.csr,
            sample.nodes[: hop.csr.num_rows],
            sample.nodes[: hop.csr.num_cols],
            groups,
            counts[: hop.csr.num_rows],
        )
        for hop in reversed(sample.hops)
    ]


def _counts(sampler: NeighborSampler, nodes: Tensor) -> Tensor:
    """Edges of each node in the graph, by group, int64 [n, G]."""
    adjacency = sampler.graph.adjacency
    if len(sampler.groups) == 2:
        return adjacency.degree[nodes][:, None]
    counts = torch.zeros(len(nodes), len(sampler.groups) - 1, dtype=torch.int64, device=nodes.device)
    own = adjacency.take_rows(nodes)
    assert own.edge_type is not None
    bounds = torch.as_tensor(sampler.groups[1:-1], device=nodes.device)
    group = torch.bucketize(own.edge_type, bounds, right=True)
    counts.view(-1).index_add_(0, own.row_index() * counts.shape[1] + group, torch.ones_like(group))
    return counts
