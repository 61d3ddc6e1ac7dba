"""PyTorch Geometric's NeighborLoader and ours draw each edge as often, where what it needs is installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor

from graphrec.graph import build_graph
from graphrec.sampling import NeighborSampler
from tests.worlds import small_world

pytestmark = pytest.mark.skipif(
    not (find_spec("pyg_lib") or (find_spec("torch_sparse") and find_spec("torch_scatter"))),
    reason="NeighborLoader needs pyg-lib, or torch-sparse and torch-scatter",
)
WORLD = build_graph(small_world())
DRAWS, FANOUT = 1500, [3, 2]
BIASED = pytest.mark.xfail(
    not find_spec("pyg_lib"),
    reason="torch-sparse draws some edges of a node too rarely: github.com/rusty1s/pytorch_sparse/issues/385",
    strict=True,
)


def edges_by_pyg(node: int, replace: bool) -> list[Tensor]:
    """Edges of many samples around a node, as numbers in the graph, without any that lead to the node at hop 2."""
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader

    adjacency = WORLD.adjacency
    edge_index = torch.stack([adjacency.col.long(), adjacency.row_index()])
    nodes = torch.tensor([node]).repeat(DRAWS)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without pyg-lib it says that it will be needed
        torch.manual_seed(1)
        data = Data(edge_index=edge_index, num_nodes=WORLD.num_nodes)
        return [batch.e_id for batch in NeighborLoader(data, FANOUT, nodes, replace=replace, batch_size=1)]


def edges_by_us(node: int, replace: bool) -> list[Tensor]:
    """The same by us: our second hop draws for the node once more."""
    sampler, found = NeighborSampler(WORLD, FANOUT, replace=replace), []
    for seed in range(DRAWS):
        first, second = sampler.sample(torch.tensor([node]), seed=seed).hops
        found.append(torch.cat([first.edge, second.edge[second.csr.rowptr[1] :]]))
    return found


@pytest.mark.parametrize("replace", [True, pytest.param(False, marks=BIASED)])
@pytest.mark.parametrize("kind", ["user", "item"])
def test_each_edge_comes_as_often(kind: str, replace: bool) -> None:
    chosen = getattr(WORLD, f"{kind}_slice")
    node = chosen.start + int(WORLD.adjacency.degree[chosen].argmax())
    row, counts = WORLD.adjacency.row_index(), []
    for draw in (edges_by_pyg, edges_by_us):
        counts.append(torch.cat(draw(node, replace)).bincount(minlength=len(row)))
    for of_node in (row == node, row != node):  # the first hop, the second
        table = torch.stack(counts)[:, of_node]
        often = table.sum(dim=0) >= 10
        assert int(often.sum()) > 5 and chi2_contingency(table[:, often].numpy()).pvalue > 1e-3
