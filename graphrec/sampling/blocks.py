"""From a sample to the blocks that a model's layers run on.

G groups of edge types, K hops.
"""

from __future__ import annotations

import numba
import numpy as np
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
    assert adjacency.edge_type is not None
    counts = np.empty((len(nodes), len(sampler.groups) - 1), np.int64)
    edges = adjacency.rowptr.numpy(), adjacency.edge_type.numpy()
    _count_groups(*edges, sampler.groups, nodes.numpy(), counts)
    return torch.from_numpy(counts)


@numba.njit(nogil=True, cache=True)
def _count_groups(rowptr, edge_type, groups, nodes, counts):  # type: ignore[no-untyped-def]
    for place, node in enumerate(nodes):
        kinds = edge_type[rowptr[node] : rowptr[node + 1]]
        for group in range(counts.shape[1]):
            begin, end = np.searchsorted(kinds, groups[group]), np.searchsorted(kinds, groups[group + 1])
            counts[place, group] = end - begin
