"""Spectral: by hand, against dense linear algebra, and what scoring and explaining rely on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph
from graphrec.models import Spectral, SpectralSettings, spectral
from graphrec.ranking import rank
from tests.models.test_item_knn import graph_of, random_graph
from tests.worlds import hand_graph, pairs

LINEAR = SpectralSettings(1, 1.0, rank=0, degree_power=0.0)
GF_CF = SpectralSettings(1, 1.0, 8, 0.3, 0.0, 0.5)
CHEBY_CF = SpectralSettings(8, 1.5, 8, 0.2, 0.4, 0.4)
# user 0: items 0 1, user 1: items 0 1 2, user 2: items 1 3, user 3: nothing; item 4 unused
ROWS = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 3)]


def fitted(settings: SpectralSettings = CHEBY_CF, graph: HeteroGraph | None = None) -> Spectral:
    model = Spectral(graph_of(ROWS) if graph is None else graph, settings)
    model.fit()
    return model


def dense_scores(graph: HeteroGraph, settings: SpectralSettings, rank: int) -> np.ndarray:
    """The docstring's formula, all users; every user and item must have a row."""
    used = np.zeros((graph.num_users, graph.num_items))
    used[graph.seen.row_index().numpy(), graph.seen.col.numpy()] = 1
    degree = used.sum(axis=0)
    normalized = used / np.sqrt(np.outer(used.sum(axis=1), degree))
    values, basis = np.linalg.eigh(normalized.T @ normalized)
    nodes = np.cos((np.arange(settings.order + 1) + 0.5) * np.pi / (settings.order + 1))
    response = 0.5 + 0.5 * np.sign(nodes) * np.abs(nodes) ** settings.flatness
    fit = np.polynomial.chebyshev.chebfit(nodes, response, settings.order)
    filtered = basis * np.polynomial.chebyshev.chebval(2 * values - 1, fit) @ basis.T
    top = basis[:, np.argsort(values)[::-1][:rank]]
    outer, inner = degree**settings.degree_power, degree**settings.ideal_degree_power
    scores = (used / outer) @ filtered * outer
    return scores + settings.ideal_weight * (used / inner) @ (top @ top.T) * inner


def test_linear_filter_by_hand() -> None:
    """R̃ᵀR̃ at (i, j) is the sum of 1 / (d_u √(d_i d_j)) over the users of both; item degrees are 2 3 1 1 0."""
    scores = fitted(LINEAR).score_block(torch.tensor([0, 3]))
    item_0 = (1 / 2 + 1 / 3) / 2 + (1 / 2 + 1 / 3) / 6**0.5
    item_1 = (1 / 2 + 1 / 3) / 6**0.5 + (1 / 2 + 1 / 3 + 1 / 2) / 3
    item_2 = 1 / 3 / 2**0.5 + 1 / 3 / 3**0.5
    item_3 = 1 / 2 / 3**0.5
    assert torch.allclose(scores[0], torch.tensor([item_0, item_1, item_2, item_3, 0.0]))
    assert torch.equal(scores[1], torch.zeros(5))


def test_ideal_low_pass_by_hand() -> None:
    """One component has one largest singular vector, √d_i over its norm: with γ = ½ scores are d_i · |history| / 7."""
    settings = SpectralSettings(order=0, rank=1, ideal_weight=2.0, ideal_degree_power=0.5)
    scores = fitted(settings).score_block(torch.tensor([0]))
    expected = [2 * 2 * degree / 7 for degree in (2, 3, 1, 1, 0)]
    assert scores[0].tolist() == pytest.approx(expected, abs=1e-5)


def dense_enough() -> HeteroGraph:
    """70 users and 50 items, a fifth of all pairs, and at least one of everybody and everything."""
    rows = [(user, user % 50) for user in range(70)]
    return graph_of([*rows, *np.argwhere(np.random.default_rng(0).random((70, 50)) < 0.2).tolist()], 70, 50)


@pytest.mark.parametrize("settings", [LINEAR, GF_CF, replace(CHEBY_CF, order=0), replace(CHEBY_CF, rank=0)])
def test_equals_the_dense_formula(settings: SpectralSettings) -> None:
    graph = dense_enough()
    model, count = fitted(settings, graph), min(settings.rank, 4)  # 50 items / 16
    assert model.basis.shape == (50, count)
    expected = dense_scores(graph, settings, count)
    if settings.order == 0:  # p = 0 instead of the constant ½ on the history itself
        expected[graph.seen.row_index().numpy(), graph.seen.col.numpy()] -= 0.5
    assert np.allclose(model.score_block(torch.arange(70)).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("ideal_power", [0.4, 0.1])
def test_a_lower_order_passes_the_rest_of_the_spectrum_nearly_alike(ideal_power: float) -> None:
    """In the frame without degrees, what it adds to a signal of norm 1 differs by a norm of at most 0.002."""
    graph, settings = dense_enough(), replace(CHEBY_CF, ideal_degree_power=ideal_power)
    model = fitted(settings, graph)
    assert model.response.degree() == 8 and model.lower.degree() < 5
    outer = model.item_degree.numpy() ** settings.degree_power
    away = (model.score_block(torch.arange(70)).numpy() - dense_scores(graph, settings, 4)) / outer
    signals = np.zeros_like(away)
    signals[graph.seen.row_index().numpy(), graph.seen.col.numpy()] = 1
    norms = np.linalg.norm(signals / outer, axis=1)
    assert 1e-5 < (np.linalg.norm(away, axis=1) / norms).max() <= 0.002


def test_rows_of_a_block_do_not_depend_on_each_other() -> None:
    model = fitted(CHEBY_CF, random_graph(1, 150, 20))
    ranked = [rank(model.score_block, torch.arange(150), 5, num_items=20, block_size=size) for size in (1, 150)]
    assert torch.allclose(ranked[0].scores, ranked[1].scores, atol=1e-6)


def test_folding_in_a_known_user_gives_that_users_scores() -> None:
    model = fitted()
    history = pairs([(0, 0), (0, 1), (1, 1), (1, 3)], 2, 5)
    assert torch.equal(model.fold_in(history), model.score_block(torch.tensor([0, 2])))


@pytest.mark.parametrize("settings", [GF_CF, CHEBY_CF])
def test_contributions_add_up(settings: SpectralSettings) -> None:
    model = fitted(settings, random_graph(2))
    history = model.used.take_rows(torch.tensor([3]))
    scores = model.score_block(torch.tensor([3]))[0]
    for item in range(20):
        assert model.contributions(history, item).sum().item() == pytest.approx(scores[item].item(), abs=1e-5)


def test_nothing_is_more_like_an_item_than_itself() -> None:
    likeness = fitted(CHEBY_CF, random_graph(3)).similarity_block(torch.arange(20))
    assert (likeness <= likeness.diag()[:, None]).all()
    assert torch.equal(fitted().similarity_block(torch.tensor([4])), torch.zeros(1, 5))


def test_on_a_graph_without_an_edge_the_vectors_stay() -> None:
    model = fitted(CHEBY_CF, random_graph(4))
    user, item = 0, int(model.graph.seen.rows(0)[0])
    graph = model.graph.without_edges(torch.tensor([user]), torch.tensor([30 + item]))
    twin = model.on_graph(graph)
    assert torch.equal(twin.basis, model.basis)
    assert graph.seen.num_edges == model.graph.seen.num_edges - 1
    assert not torch.allclose(twin.score_block(torch.tensor([0])), model.score_block(torch.tensor([0])))


def test_knowledge_changes_nothing() -> None:
    users = torch.arange(2)
    plain = fitted(CHEBY_CF, hand_graph(knowledge=False)).score_block(users)
    assert torch.equal(fitted(CHEBY_CF, hand_graph()).score_block(users), plain)


def test_two_fits_are_equal() -> None:
    graph = random_graph(5, 100, 80)
    assert torch.equal(fitted(CHEBY_CF, graph).basis, fitted(CHEBY_CF, graph).basis)


def test_state_round_trip_through_a_file(tmp_path: Path) -> None:
    model = fitted(CHEBY_CF, random_graph(6))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    twin = Spectral(random_graph(6), CHEBY_CF)
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    users = torch.arange(30)
    assert torch.equal(twin.score_block(users), model.score_block(users))
    with pytest.raises(RuntimeError, match="size mismatch"):
        Spectral(random_graph(6, 30, 21), CHEBY_CF).load_state_dict(model.state_dict())


@pytest.mark.parametrize(("rows", "users", "items"), [([], 4, 5), ([(0, 0)], 1, 1), ([], 1, 1)])
def test_graphs_with_next_to_nothing(rows: list[tuple[int, int]], users: int, items: int) -> None:
    scores = fitted(SpectralSettings(), graph_of(rows, users, items)).score_block(torch.arange(users))
    assert scores.shape == (users, items)
    assert torch.isfinite(scores).all()


def test_vectors_beyond_memory_are_an_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, settings = random_graph(7, 320, 160), SpectralSettings(rank=10)
    assert Spectral.obstacle(graph, settings) is None
    monkeypatch.setattr(spectral, "available_memory", lambda: 12 * 10 * 480 - 1)
    obstacle = Spectral.obstacle(graph, settings)
    assert obstacle == "finding 10 singular vectors needs 0.0 GB of memory, and 0.0 GB are free"
    assert Spectral.obstacle(graph, replace(settings, ideal_weight=0.0)) is None


@pytest.mark.parametrize(("field", "value"), [("order", -1), ("flatness", 0.0), ("rank", -1), ("ideal_weight", -0.1)])
def test_settings_are_checked(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{field} must be .*, got {value}"):
        SpectralSettings(**{field: value})
