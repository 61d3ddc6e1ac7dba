"""Layer-wise inference: any cut into blocks, in memory or on disk, gives what propagation on the whole graph gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphrec.errors import OutputError
from graphrec.graph import HeteroGraph, build_graph
from graphrec.graph.hetero import assemble
from graphrec.models import GAT, EmbeddingModel, GATSettings, LightGCN, LightGCNSettings
from graphrec.training import infer_vectors, inference, settle_vectors
from tests.views import FixedVectors
from tests.worlds import hand_graph, small_world

WORLD = build_graph(small_world())
NONE = np.zeros(0, dtype=np.int64)
NO_EDGES = assemble((2, 3, 1), ["interacts"], NONE, NONE, NONE)


def models(graph: HeteroGraph) -> list[EmbeddingModel]:
    """LightGCN and attention over the knowledge, with vectors and attention that are not zero."""
    made = [LightGCN(graph, LightGCNSettings(width=8)), GAT(graph, GATSettings(width=8, heads=2))]
    generator = torch.Generator().manual_seed(4)
    for model in made:
        model.reset(generator)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        model.eval()
    return made


@pytest.mark.parametrize("graph", [WORLD, hand_graph(), NO_EDGES], ids=["world", "hand", "no edges"])
@pytest.mark.parametrize("block_edges", [1, 7, 100, 10**6])
@pytest.mark.parametrize("on_disk", [False, True])
def test_it_equals_propagation(graph: HeteroGraph, block_edges: int, on_disk: bool, tmp_path: Path) -> None:
    for model in models(graph):
        folder = tmp_path / "layers" if on_disk else None
        found = infer_vectors(model, folder, block_edges=block_edges)
        torch.testing.assert_close(found, model.propagate().detach(), rtol=1e-5, atol=1e-6)
    assert not on_disk or not list((tmp_path / "layers").iterdir())


def test_one_layer_and_few_rows_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "BLOCK_ROWS", 3)
    assert max(last - first for first, last in inference.row_blocks(WORLD.adjacency)) == 3
    model = LightGCN(WORLD, LightGCNSettings(width=4, layers=1))
    model.reset(torch.Generator().manual_seed(1))
    torch.testing.assert_close(infer_vectors(model), model.propagate().detach())


def test_a_model_of_the_whole_graph_alone_is_propagated(tmp_path: Path) -> None:
    graph = hand_graph()
    model = FixedVectors(graph, torch.ones(2, 3), torch.full((3, 3), 2.0))
    assert torch.equal(infer_vectors(model, tmp_path), model.propagate())


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(inference._RowFile, "write", full)
    with pytest.raises(OutputError, match=r"cannot write the layers of lightgcn in .*: No space left"):
        infer_vectors(models(WORLD)[0], tmp_path)
    assert not list(tmp_path.iterdir())


def test_vectors_of_a_large_graph_are_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models(WORLD)[0]
    settle_vectors(model)
    assert not model.has_vectors  # the graph is small
    monkeypatch.setattr(inference, "LARGE", 1)
    settle_vectors(model)
    users = model.user_vectors()
    settle_vectors(model)
    assert model.user_vectors().data_ptr() == users.data_ptr()
    model.train()
    assert not model.has_vectors
