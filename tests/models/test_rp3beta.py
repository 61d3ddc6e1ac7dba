"""RP3β: by hand, and against three matrix products."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.errors import UsageError
from graphrec.models import RP3Beta
from graphrec.models.rp3beta import RP3BetaSettings
from tests.models.items import ROWS, graph_of, kept_matrix, matrix_of, random_graph


def fitted(settings: RP3BetaSettings, seed: int | None = None) -> RP3Beta:
    model = RP3Beta(graph_of(ROWS) if seed is None else random_graph(seed), settings)
    model.fit()
    return model


def test_plain_walk_by_hand() -> None:
    """User 0 used items 0 and 1. From item 0: users 0 and 1, of 2 and 3 items; from 1: users 0, 1 and 2."""
    scores = fitted(RP3BetaSettings(alpha=1.0, beta=0.0)).score_block(torch.tensor([0]))[0]
    from_0, from_1 = 1 / 2 * 1 / 3, 1 / 3 * 1 / 3
    item_0 = 1 / 3 * (1 / 2 + 1 / 3)
    item_1 = 1 / 2 * (1 / 2 + 1 / 3)
    assert torch.allclose(scores, torch.tensor([item_0, item_1, from_0 + from_1, 1 / 3 * 1 / 2, 0.0]))


def test_powers_by_hand() -> None:
    """Items 0 and 1 have 2 and 3 users and share users 0 and 1, of 2 and 3 items."""
    model = fitted(RP3BetaSettings(alpha=0.5, beta=0.3))
    expected = ((1 / 2 * 1 / 2) ** 0.5 + (1 / 2 * 1 / 3) ** 0.5) / 3**0.3
    assert model.added(torch.tensor([0]), 1).item() == pytest.approx(expected)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.5, 0.2), (0.0, 1.0), (2.0, 0.5)])
def test_equals_the_matrix_products(alpha: float, beta: float) -> None:
    used = matrix_of(random_graph(4))
    of_user, of_item = used / np.maximum(used.sum(1), 1)[:, None], used.T / np.maximum(used.sum(0), 1)[:, None]
    walk = np.where(of_item > 0, of_item**alpha, 0) @ np.where(of_user > 0, of_user**alpha, 0)
    walk /= np.maximum(used.sum(0), 1) ** beta
    np.fill_diagonal(walk, 0)
    assert np.allclose(kept_matrix(fitted(RP3BetaSettings(alpha=alpha, beta=beta), 4)), walk, atol=1e-6)


def test_both_items_of_a_pair_must_keep_it() -> None:
    """Used items 0 to 3 speak most for 1, 0, 0 and 1; item 0 then keeps 2 rather than 1, and item 1 keeps 3, not 0."""
    kept = kept_matrix(fitted(RP3BetaSettings(neighbours=1, alpha=1.0, beta=0.0)))
    assert [row.nonzero()[0].tolist() for row in kept] == [[], [], [0], [1], []]


def test_normalized_each_used_item_speaks_as_loudly() -> None:
    plain, normal = (kept_matrix(fitted(RP3BetaSettings(normalize=flag), 4)) for flag in (False, True))
    total = plain.sum(axis=1, keepdims=True)
    assert np.allclose(normal, plain / np.where(total > 0, total, 1), atol=1e-6)


@pytest.mark.parametrize("field", ["alpha", "beta"])
def test_settings_are_checked(field: str) -> None:
    with pytest.raises(UsageError, match=f"{field} must be >= 0, got -0.1"):
        RP3BetaSettings(**{field: -0.1})
