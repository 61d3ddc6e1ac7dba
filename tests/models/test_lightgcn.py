"""LightGCN: by hand, folding in, and the training loss."""

from __future__ import annotations

import pytest
import torch

from graphrec.losses import bpr_loss, l2_penalty
from graphrec.models import LightGCN, LightGCNSettings
from graphrec.sampling import Batch, generator_for
from tests.worlds import hand_graph, pairs


def fitted(layers: int = 1, **settings: object) -> LightGCN:
    model = LightGCN(hand_graph(), LightGCNSettings(width=4, layers=layers, **settings))
    model.reset(generator_for(0))
    return model.eval()


def test_knowledge_is_left_out() -> None:
    model = fitted()
    assert model.table.shape == (5, 4)
    assert model.graph.relations == ("interacts", "rev_interacts")


def test_scores_by_hand() -> None:
    model = fitted()
    e = model.table.detach()
    user_1 = (e[1] + e[3] * 2**-0.5) / 2  # d: user 1 has 1, item 1 has 2
    item_2 = e[4] / 2  # nobody used item 2
    item_0 = (e[2] + e[0] * 2**-0.5) / 2
    scores = model.score_block(torch.tensor([1]))[0]
    assert scores[2].item() == pytest.approx((user_1 @ item_2).item(), abs=1e-6)
    assert scores[0].item() == pytest.approx((user_1 @ item_0).item(), abs=1e-6)


def test_folding_in_by_hand() -> None:
    """A newcomer with items 0 and 1: layer 0 is zero, layer 1 is Σ e_j / √(2 d_j)."""
    model = fitted()
    e = model.table.detach()
    expected = (e[2] / 2**0.5 + e[3] / 4**0.5) / 2
    vectors = model.fold_in_vectors(pairs([(0, 0), (0, 1)], 1, 3))
    assert torch.allclose(vectors[0], expected, atol=1e-6)


def test_folding_in_two_layers_uses_the_frozen_items() -> None:
    model = fitted(layers=2)
    e = model.table.detach()
    item_1 = e[0] / 4**0.5 + e[1] / 2**0.5  # layer 1 of item 1 (d = 2) from users 0 (d = 2) and 1 (d = 1)
    expected = (e[3] + item_1) / 2**0.5 / 3
    assert torch.allclose(model.fold_in_vectors(pairs([(0, 1)], 1, 3))[0], expected, atol=1e-6)


def test_an_empty_history_scores_zero() -> None:
    assert fitted().fold_in(pairs([], 1, 3)).tolist() == [[0.0, 0.0, 0.0]]


def test_bpr_with_l2_on_layer_zero() -> None:
    model = fitted(loss="bpr", l2=0.5).train()
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]), generator_for(0))
    final, e = model.propagate(), model.table
    expected = bpr_loss(final[:2], final[[2, 3]], final[[4, 2]]) + 0.5 * l2_penalty(e[:2], e[[2, 3]], e[[4, 2]])
    assert torch.allclose(model.loss(batch), expected)


def test_what_is_kept_is_forgotten_by_training() -> None:
    model = fitted()
    before = model.score_block(torch.tensor([0]))
    model.train()
    with torch.no_grad():
        model.table.mul_(2)
    assert torch.allclose(model.eval().score_block(torch.tensor([0])), 4 * before)


def test_edge_weights_are_the_normalised_adjacency() -> None:
    model = fitted(layers=2)
    weights = model.edge_weights(torch.arange(model.graph.adjacency.num_edges))
    assert weights.shape == (2, 6)
    assert weights[0, 0].item() == pytest.approx(2**-0.5)  # user 0 ← item 0: d 2 and 1
