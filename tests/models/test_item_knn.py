"""ItemKNN: by hand, against the dense formula, and what scoring and explaining rely on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph
from graphrec.models import ItemKNN, item_item
from graphrec.models.item_knn import ItemKNNSettings
from tests.models.items import ROWS, graph_of, matrix_of, random_graph
from tests.worlds import pairs

COSINE = ItemKNNSettings(shrink=0.0, damping=0.0, balance=0.5)


def fitted(settings: ItemKNNSettings = COSINE, graph: HeteroGraph | None = None) -> ItemKNN:
    model = ItemKNN(graph_of(ROWS) if graph is None else graph, settings)
    model.fit()
    return model


def dense_similarity(graph: HeteroGraph, settings: ItemKNNSettings) -> np.ndarray:
    """The docstring's s(i, j) with all neighbours, i first."""
    used = matrix_of(graph)
    weight = np.maximum(used.sum(axis=1), 1) ** -settings.damping
    shared = used.T @ (weight[:, None] * used)
    norm = np.diag(shared)
    below = np.outer(norm**settings.balance, norm ** (1 - settings.balance)) + settings.shrink * weight.mean()
    similarity = np.divide(shared, below, out=np.zeros_like(shared), where=below > 0)
    np.fill_diagonal(similarity, 0)
    return similarity


def test_cosine_by_hand() -> None:
    """Item 0 has users 0 1, item 1 users 0 1 2, item 2 user 1, item 3 user 2."""
    scores = fitted().score_block(torch.tensor([0, 3]))
    item_0, item_1 = 2 / (2 * 3) ** 0.5, 2 / (2 * 3) ** 0.5
    item_2 = 1 / (2 * 1) ** 0.5 + 1 / (3 * 1) ** 0.5
    item_3 = 1 / (3 * 1) ** 0.5
    assert torch.allclose(scores[0], torch.tensor([item_0, item_1, item_2, item_3, 0.0]))
    assert torch.equal(scores[1], torch.zeros(5))


def test_shrinkage_damping_and_balance_by_hand() -> None:
    """User weights 2^-1, 3^-1, 2^-1 and 1 for the user of nothing; items 0 and 1 share users 0 and 1."""
    model = fitted(ItemKNNSettings(shrink=3.0, damping=1.0, balance=0.25))
    c_00, c_11 = 1 / 2 + 1 / 3, 1 / 2 + 1 / 3 + 1 / 2
    mean = (1 / 2 + 1 / 3 + 1 / 2 + 1) / 4
    expected = (1 / 2 + 1 / 3) / (c_00**0.25 * c_11**0.75 + 3 * mean)
    assert model.added(torch.tensor([1]), 0).item() == pytest.approx(expected)


@pytest.mark.parametrize("settings", [COSINE, ItemKNNSettings(), ItemKNNSettings(balance=1.0, damping=1.0)])
def test_equals_the_dense_formula(settings: ItemKNNSettings) -> None:
    graph = random_graph(0)
    similarity = dense_similarity(graph, settings)
    scores = fitted(settings, graph).score_block(torch.arange(graph.num_users))
    assert np.allclose(scores.numpy(), matrix_of(graph) @ similarity.T, atol=1e-5)


def test_keeps_the_nearest_with_ties_to_the_lower_item() -> None:
    model = fitted(ItemKNNSettings(neighbours=1, shrink=0.0, damping=0.0, balance=0.5))
    likeness = model.similarity_block(torch.arange(5)).fill_diagonal_(0)
    # item 1 is nearest to 0; item 2's cosines with 0 and 1 are 1/√2 and 1/√3
    assert [row.nonzero()[:, 0].tolist() for row in likeness] == [[1], [0], [0], [1], []]
    tied = fitted(ItemKNNSettings(neighbours=1, shrink=0.0), graph_of([(0, 0), (0, 1), (0, 2)], 1, 3))
    assert tied.similarity_block(torch.tensor([2]))[0].nonzero()[:, 0].tolist() == [0, 2]  # itself and the lower


@pytest.mark.parametrize("neighbours", [1, 3, 7])
def test_blocks_change_nothing(neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ItemKNNSettings(neighbours=neighbours)
    whole = fitted(settings, random_graph(1))
    monkeypatch.setattr(item_item, "_BLOCK_PAIRS", 5)
    parts = fitted(settings, random_graph(1))
    assert torch.equal(whole.rowptr, parts.rowptr)
    assert torch.equal(whole.col, parts.col)
    assert torch.equal(whole.value, parts.value)
    recommended = torch.bincount(whole.col, minlength=20)
    assert recommended.max() == neighbours


def test_folding_in_a_known_user_gives_that_users_scores() -> None:
    model = fitted()
    history = pairs([(0, 0), (0, 1), (1, 1), (1, 3)], 2, 5)
    assert torch.equal(model.fold_in(history), model.score_block(torch.tensor([0, 2])))


def test_contributions_add_up() -> None:
    model = fitted(ItemKNNSettings(), random_graph(2))
    history = model.used.take_rows(torch.tensor([3]))
    for item in range(20):
        added = model.contributions(history, item)
        assert added.sum().item() == pytest.approx(model.score_block(torch.tensor([3]))[0, item].item(), abs=1e-6)


@pytest.mark.parametrize("settings", [COSINE, ItemKNNSettings(), ItemKNNSettings(balance=0.0, shrink=1.0)])
def test_nothing_is_more_like_an_item_than_itself(settings: ItemKNNSettings) -> None:
    model = fitted(settings, random_graph(3))
    likeness = model.similarity_block(torch.arange(20))
    assert (likeness <= likeness.diag()[:, None] + 1e-6).all()
    unused = fitted(settings).similarity_block(torch.tensor([4]))
    assert torch.equal(unused, torch.zeros(1, 5))


def test_state_round_trip_through_a_file(tmp_path: Path) -> None:
    model = fitted()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    twin = ItemKNN(graph_of(ROWS), COSINE)
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    users = torch.arange(4)
    assert torch.equal(twin.score_block(users), model.score_block(users))
    with pytest.raises(RuntimeError, match="size mismatch"):
        ItemKNN(graph_of(ROWS, num_items=6), COSINE).load_state_dict(model.state_dict())


def test_a_graph_without_interactions() -> None:
    model = fitted(ItemKNNSettings(), graph_of([]))
    assert torch.equal(model.score_block(torch.tensor([0, 1])), torch.zeros(2, 5))


def test_tfidf_by_hand() -> None:
    """Of 5 items users 0 and 2 used 2, user 1 used 3: a user of d items weighs ln²(5 / (1 + d))."""
    model = fitted(replace(COSINE, weighting="tfidf"))
    two, three = math.log(5 / 3) ** 2, math.log(5 / 4) ** 2
    expected = (two + three) / math.sqrt((two + three) * (two + three + two))
    assert model.added(torch.tensor([1]), 0).item() == pytest.approx(expected)


def test_bm25_by_hand() -> None:
    """Besides, item i counts b_i times: 7 rows of 5 items, 2 of them of item 0 and 3 of item 1."""
    model = fitted(ItemKNNSettings(shrink=1.0, damping=0.0, balance=0.5, weighting="bm25"))
    two, three, none = math.log(5 / 3) ** 2, math.log(5 / 4) ** 2, math.log(5) ** 2
    b_0, b_1 = (2.2 / (1.2 * (0.25 + 0.75 * count / (7 / 5)) + 1) for count in (2, 3))
    root = math.sqrt(b_0**2 * (two + three) * b_1**2 * (two + three + two))
    expected = b_0 * b_1 * (two + three) / (root + (two + three + two + none) / 4)
    assert model.added(torch.tensor([1]), 0).item() == pytest.approx(expected)


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
def test_items_whose_users_weigh_nothing_are_like_none(weighting: str) -> None:
    """Of 3 items user 0 used 2, 0 and 1, and weighs ln²(3 / (1 + 2)) = 0: both 0 / 0, which counts as 0."""
    model = fitted(replace(COSINE, weighting=weighting), graph_of([(0, 0), (0, 1), (1, 2)], 2, 3))
    assert torch.equal(model.score_block(torch.tensor([0, 1])), torch.zeros(2, 3))
    assert torch.equal(model.similarity_block(torch.tensor([0, 1])), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("field", "value"),
    [("neighbours", 0), ("shrink", -1.0), ("damping", -0.1), ("balance", 1.5), ("weighting", "okapi")],
)
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{field} must be .*, got {value}"):
        ItemKNNSettings(**{field: value})
