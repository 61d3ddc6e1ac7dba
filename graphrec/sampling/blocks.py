"""From a sample to the blocks that a model's layers run on.

K hops.
"""

from __future__ import annotations

from graphrec.graph import Block
from graphrec.sampling.neighbors import NeighborSampler, Sample


def blocks_of(sampler: NeighborSampler, sample: Sample) -> list[Block]:
    """A sample's blocks, the one of layer 1 first: layer k of K runs on hop K − k.

    Args:
        sampler: that drew the sample, uniformly and without times.
        sample: of K hops.
    """
    counts = sampler.counts(sample.nodes[: sample.hops[-1].csr.num_rows])
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
