"""SLIM: by hand, against scikit-learn's elastic net, and the same with any number of threads."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet

from graphrec.errors import UsageError
from graphrec.models import SLIM, slim
from graphrec.models.slim import SLIMSettings
from graphrec.sparse.cpu import threads
from tests.models.items import graph_of, kept_matrix, random_graph


def fitted(settings: SLIMSettings, seed: int = 0) -> SLIM:
    model = SLIM(random_graph(seed), settings)
    model.fit()
    return model


def elastic_net(used: np.ndarray, item: int, settings: SLIMSettings) -> np.ndarray:
    """scikit-learn's solution; its objective is ours divided by the number of users."""
    total = settings.lasso + settings.ridge
    other = used.copy()
    other[:, item] = 0
    net = ElasticNet(
        alpha=total / len(used),
        l1_ratio=settings.lasso / total,
        positive=settings.nonnegative,
        fit_intercept=False,
        tol=1e-10,
        max_iter=10_000,
    )
    return net.fit(other, used[:, item]).coef_


def test_two_items_by_hand() -> None:
    """Item 0 has 2 users, item 1 has 3, and they share 2: w = (2 − λ) / (d + β)."""
    model = SLIM(graph_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)], 3, 2), SLIMSettings(lasso=0.5, ridge=4.0))
    model.fit()
    assert np.allclose(kept_matrix(model), [[0, 1.5 / (2 + 4)], [1.5 / (3 + 4), 0]])


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize(("lasso", "ridge"), [(0.5, 2.0), (0.1, 10.0)])
def test_equals_scikit_learn(lasso: float, ridge: float, nonnegative: bool) -> None:
    settings = SLIMSettings(lasso=lasso, ridge=ridge, nonnegative=nonnegative)
    used = np.random.default_rng(0).random((40, 12)) < 0.5  # every two items have users in common
    model = SLIM(graph_of(np.argwhere(used).tolist(), 40, 12), settings)
    model.fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.stack([elastic_net(used.astype(float), item, settings) for item in range(12)], axis=1)
    if not nonnegative:
        assert (expected < 0).any()
    assert np.allclose(kept_matrix(model), expected, atol=2e-3)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            monkeypatch.setattr(threads, "BLOCK_WORK", 10)
            torch.set_num_threads(count)
            results.append(kept_matrix(fitted(SLIMSettings(lasso=0.1, ridge=1.0), 5)))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*results)


def test_rows_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kept_matrix(fitted(SLIMSettings(lasso=0.1, neighbours=4), 6))
    monkeypatch.setattr(slim, "_BLOCK_WEIGHTS", 12)
    assert np.array_equal(kept_matrix(fitted(SLIMSettings(lasso=0.1, neighbours=4), 6)), whole)


def test_a_large_lasso_keeps_nothing() -> None:
    assert not kept_matrix(fitted(SLIMSettings(lasso=100.0))).any()


@pytest.mark.parametrize("field", ["lasso", "ridge"])
def test_settings_are_checked(field: str) -> None:
    with pytest.raises(UsageError, match=f"{field} must be >= 0, got -1"):
        SLIMSettings(**{field: -1.0})
