"""EASE: by hand, against the dense formula and the regressions behind it, and what does not fit into memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from graphrec.errors import UsageError
from graphrec.models import EASE, ease, item_item
from graphrec.models.ease import EASESettings
from tests.models.items import graph_of, kept_matrix, matrix_of, random_graph


def fitted(settings: EASESettings, seed: int = 0) -> EASE:
    model = EASE(random_graph(seed), settings)
    model.fit()
    return model


def test_two_items_by_hand() -> None:
    """Item 0 has 2 users, item 1 has 3, and they share 2: B_01 = 2 / (2 + λ), B_10 = 2 / (3 + λ)."""
    model = EASE(graph_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)], 3, 2), EASESettings(ridge=4.0))
    model.fit()
    assert np.allclose(kept_matrix(model), [[0, 2 / (2 + 4)], [2 / (3 + 4), 0]])


@pytest.mark.parametrize("ridge", [1.0, 30.0])
def test_equals_the_dense_formula(ridge: float, monkeypatch: pytest.MonkeyPatch) -> None:
    used = matrix_of(random_graph(0))
    inverse = np.linalg.inv(used.T @ used + ridge * np.eye(20))
    expected = np.eye(20) - inverse / np.diag(inverse)
    for entries in (2**22, 60, 1):
        monkeypatch.setattr(ease, "_BLOCK_ENTRIES", entries)
        assert np.allclose(kept_matrix(fitted(EASESettings(ridge=ridge))), expected, atol=1e-5)


def test_each_column_is_the_ridge_regression_on_the_other_items() -> None:
    used, kept = matrix_of(random_graph(1)), kept_matrix(fitted(EASESettings(ridge=5.0), 1))
    for item in range(20):
        others = np.delete(np.arange(20), item)
        rest = used[:, others]
        weights = np.linalg.solve(rest.T @ rest + 5 * np.eye(19), rest.T @ used[:, item])
        assert np.allclose(kept[others, item], weights, atol=1e-5)


def test_a_matrix_beyond_memory_is_refused_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 · 30,000² = 3.6 GB, 12 · 30,000 · 200 = 0.07 and a block 0.15 GB; or 24 · 30,000 · 29,999 + 0.15: 21.75."""
    graph = graph_of([], 1, 30_000)
    monkeypatch.setattr(ease, "available_memory", lambda: 4 * 10**9)
    assert EASE.obstacle(graph, EASESettings()) is None
    said = EASE.obstacle(graph, EASESettings(neighbours=30_000))
    matrix = "its matrix of 30,000 × 30,000 items"
    assert said == f"{matrix} and 29,999 kept weights an item need 21.8 GB of memory, and 4.0 GB are free"
    monkeypatch.setattr(ease, "available_memory", lambda: 10**9)
    said = EASE.obstacle(graph, EASESettings())
    assert said == f"{matrix} and 200 kept weights an item need 3.8 GB of memory, and 1.0 GB are free"
    assert EASE.obstacle(graph_of([], 0, 0), EASESettings()) is None


@pytest.mark.parametrize("neighbours", [20, 200, 500])
def test_the_memory_asked_for_is_what_fitting_takes(neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NumPy takes it, with blocks small beside the matrix; what torch takes (panels and blocks) is not seen."""
    monkeypatch.setattr(ease, "_BLOCK_ENTRIES", 2**13)
    monkeypatch.setattr(item_item, "_BLOCK_PAIRS", 2**13)
    model = EASE(random_graph(0, num_users=40, num_items=500), EASESettings(neighbours=neighbours))
    tracemalloc.start()
    model.fit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for free, refused in ((0.9 * peak, True), (1.5 * peak, False)):
        monkeypatch.setattr(ease, "available_memory", lambda free=free: free)
        assert (EASE.obstacle(model.graph, model.settings) is not None) == refused


def test_a_ridge_too_small_for_the_data() -> None:
    """Two items of the same users: in float32 the ridge is lost beside their number, and the matrix is singular."""
    model = EASE(graph_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]), EASESettings(ridge=1e-9))
    with pytest.raises(UsageError, match="ridge 1e-09 is too small"):
        model.fit()


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="ridge must be > 0, got 0"):
        EASESettings(ridge=0.0)


def test_users_scores_are_the_products() -> None:
    model = fitted(EASESettings(ridge=10.0), 2)
    expected = matrix_of(model.graph) @ kept_matrix(model)
    assert np.allclose(model.score_block(torch.arange(30)), expected, atol=1e-6)
