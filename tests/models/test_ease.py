"""EASE: by hand, against the dense formula and the regressions behind it, and what does not fit into memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.errors import UsageError
from graphrec.models import EASE, ease
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
    graph = graph_of([], 1, 30_000)
    monkeypatch.setattr(ease, "available_memory", lambda: 4 * 30_000**2)
    assert EASE.obstacle(graph, EASESettings()) is None
    monkeypatch.setattr(ease, "available_memory", lambda: 10**9)
    said = EASE.obstacle(graph, EASESettings())
    assert said == "its matrix of 30,000 × 30,000 items needs 3.6 GB of memory, and 1.0 GB are free"


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
