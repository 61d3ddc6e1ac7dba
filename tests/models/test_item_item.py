"""What all item–item models share: scores, folding in, likeness, explanations and the state dict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from graphrec.errors import UsageError
from graphrec.explain import explain_pair
from graphrec.graph import HeteroGraph
from graphrec.models import MODELS, ItemItem, build_model, item_item, make_settings
from tests.models.items import ROWS, graph_of, kept_matrix, matrix_of, random_graph
from tests.worlds import hand_graph, pairs

NAMES = [name for name, cls in MODELS.items() if issubclass(cls, ItemItem)]
BY_USE = [name for name in NAMES if name != "knowledge_knn"]


def fitted(name: str, graph: HeteroGraph, **settings: object) -> ItemItem:
    model = build_model(name, graph, {name: make_settings(name, settings)})
    assert isinstance(model, ItemItem)
    model.fit()
    return model


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_sums_over_the_users_items(name: str) -> None:
    for graph in (hand_graph(), random_graph(0)):
        model = fitted(name, graph)
        scores = model.score_block(torch.arange(graph.num_users))
        assert scores.dtype == torch.float32
        assert np.allclose(scores, matrix_of(graph) @ kept_matrix(model), atol=1e-6)
        assert np.all(np.diag(kept_matrix(model)) == 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("graph", [graph_of([]), graph_of([], 1, 1), graph_of([(0, 0)], 1, 1), graph_of([], 0, 0)])
def test_graphs_with_nothing_to_compare(name: str, graph: HeteroGraph) -> None:
    model = fitted(name, graph)
    assert not model.score_block(torch.arange(graph.num_users)).any()
    assert model.similarity_block(torch.arange(graph.num_items)).shape == (graph.num_items, graph.num_items)


@pytest.mark.parametrize("name", BY_USE)
def test_an_unused_item_and_a_user_of_nothing_score_zero(name: str) -> None:
    scores = fitted(name, graph_of(ROWS)).score_block(torch.arange(4))
    assert not scores[3].any() and not scores[:, 4].any()
    assert scores[:3, :4].any()


@pytest.mark.parametrize("name", BY_USE)
def test_blocks_and_fewer_neighbours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, some = fitted(name, random_graph(1)), fitted(name, random_graph(1), neighbours=3)
    monkeypatch.setattr(item_item, "_BLOCK_PAIRS", 5)
    parts = fitted(name, random_graph(1), neighbours=3)
    for buffer, same in zip(some.buffers(), parts.buffers(), strict=True):
        assert torch.equal(buffer, same)
    kept, of_all = kept_matrix(some), kept_matrix(whole)
    assert (kept != 0).sum(axis=1 if name == "spectral_knn" else 0).max() == 3
    assert np.allclose(kept[kept != 0], of_all[kept != 0])
    if name not in ("rp3beta", "spectral_knn"):  # where used items keep a few
        smallest = np.where(kept == 0, np.inf, np.abs(kept)).min(axis=0)
        assert np.all(np.where(kept == 0, np.abs(of_all), 0).max(axis=0) <= smallest + 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_known_history_gives_that_users_scores(name: str) -> None:
    model = fitted(name, hand_graph())
    assert torch.equal(model.fold_in(pairs([(0, 0), (0, 1), (1, 1)], 2, 3)), model.score_block(torch.arange(2)))


@pytest.mark.parametrize("name", NAMES)
def test_contributions_add_up(name: str) -> None:
    model = fitted(name, hand_graph() if name == "knowledge_knn" else random_graph(2))
    scores = model.score_block(torch.tensor([1]))[0]
    history = model.used.take_rows(torch.tensor([1]))
    added = [model.contributions(history, item).sum() for item in range(model.graph.num_items)]
    assert torch.allclose(torch.stack(added), scores, atol=1e-6)


@pytest.mark.parametrize("name", BY_USE)
def test_explanations_name_used_items(name: str) -> None:
    model = fitted(name, graph_of(ROWS))
    found = explain_pair(model, 0, 2)
    assert found.path_view == name
    assert sum(path.weight for path in found.paths) == pytest.approx(found.score, rel=1e-5)
    assert {path.nodes for path in found.paths} <= {(0, 4, 6), (0, 5, 6)}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_more_like_an_item_than_itself(name: str) -> None:
    likeness = fitted(name, random_graph(3)).similarity_block(torch.arange(20))
    assert (likeness <= likeness.diag()[:, None] + 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_state_round_trip_through_a_file(name: str, tmp_path: Path) -> None:
    model = fitted(name, hand_graph())
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    twin = build_model(name, hand_graph(), {name: model.settings})
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(twin.score_block(torch.arange(2)), model.score_block(torch.arange(2)))


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_are_checked(name: str) -> None:
    with pytest.raises(UsageError, match="neighbours must be >= 1, got 0"):
        make_settings(name, {"neighbours": 0})


def test_a_table_with_an_unknown_item_is_refused() -> None:
    model = fitted("item_knn", graph_of(ROWS))
    state = model.state_dict()
    state["col"] = torch.full_like(state["col"], 99)
    model.load_state_dict(state)
    with pytest.raises(UsageError, match="col must lie in"):
        model.score_block(torch.tensor([0]))
