"""SpectralKNN: beside the whole filter, of which it keeps a part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.errors import UsageError
from graphrec.models import Spectral, SpectralKNN, SpectralKNNSettings, SpectralSettings, make_settings
from tests.models.items import ROWS, graph_of, kept_matrix, random_graph

CHEBY_CF = {"order": 8, "flatness": 1.5, "rank": 8, "ideal_weight": 0.2, "degree_power": 0.4, "ideal_degree_power": 0.4}


def test_with_all_neighbours_it_is_the_filter_of_what_one_has_not_used() -> None:
    graph = random_graph(0)
    whole, table = (
        Spectral(graph, SpectralSettings(**CHEBY_CF)),
        SpectralKNN(graph, SpectralKNNSettings(neighbours=graph.num_items, **CHEBY_CF)),
    )
    whole.fit()
    table.fit()
    users = torch.arange(graph.num_users)
    unseen = torch.ones(graph.num_users, graph.num_items, dtype=torch.bool)
    unseen[graph.seen.row_index(), graph.seen.col.long()] = False
    assert torch.allclose(table.score_block(users)[unseen], whole.score_block(users)[unseen], atol=1e-6)


def test_a_used_item_keeps_those_it_speaks_most_for() -> None:
    """The linear filter of item 1 alone, which 0, 1 and 2 used: Σ over common users of 1 / (d_u √(d_1 d_i))."""
    linear = SpectralKNNSettings(neighbours=2, order=1, flatness=1.0, rank=0, degree_power=0.0)
    model = SpectralKNN(graph_of(ROWS), linear)
    model.fit()
    item_0 = (1 / 2 + 1 / 3) / 6**0.5
    item_3 = 1 / 2 / 3**0.5  # and item 2 has (1 / 3) / √3
    assert kept_matrix(model)[1] == pytest.approx(np.array([item_0, 0, 0, item_3, 0]))


def test_settings_are_those_of_the_filter_and_checked() -> None:
    assert make_settings("spectral_knn", {}).neighbours == 200
    with pytest.raises(UsageError, match="flatness must be > 0, got 0"):
        make_settings("spectral_knn", {"flatness": 0})
