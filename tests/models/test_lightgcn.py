"""LightGCN: by hand, folding in, and the training loss."""

from __future__ import annotations

import pytest
import torch

from graphrec.config import TrainingConfig
from graphrec.errors import UsageError
from graphrec.explain import explain_pair
from graphrec.layers import propagate_noisy
from graphrec.losses import bpr_loss, info_nce_loss, l2_penalty
from graphrec.models import LightGCN, LightGCNSettings
from graphrec.sampling import ALL, Batch, generator_for
from graphrec.sparse import spmm
from graphrec.training import Trainer, infer_vectors
from graphrec.training.inference import embed
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


def test_matrix_factorisation_is_the_case_without_layers() -> None:
    model = fitted(layers=0)
    e = model.table.detach()
    assert torch.equal(model.score_block(torch.tensor([0, 1])), e[:2] @ e[2:].T)
    assert torch.equal(infer_vectors(model), e)
    rows = torch.tensor([3, 1])
    assert all(torch.equal(part, e[rows]) for part in model.propagate_to(rows))
    newcomers = model.fold_in_vectors(pairs([(0, 0), (0, 1), (1, 2)], 3, 3))
    assert torch.allclose(newcomers, torch.stack([(e[2] + e[3]) / 2, e[4], torch.zeros(4)]), atol=1e-6)
    assert model.edge_weights(torch.arange(6)).shape == (0, 6)


def test_without_layers_there_are_no_paths_and_no_neighbours_to_sample() -> None:
    model = fitted(layers=0)
    found = explain_pair(model, user=0, item=2)
    assert found.paths == () and found.path_view is None
    assert found.score == model.score_block(torch.tensor([0]))[0, 2].item()
    with pytest.raises(UsageError, match="lightgcn with 0 layers has no neighbours to sample"):
        Trainer(model, TrainingConfig(sampling="neighbor"), seed=0)


def test_without_layers_an_unknown_node_starts_at_the_mean_of_its_neighbours() -> None:
    model, other = fitted(layers=0), fitted(layers=0)
    e, known = other.table.detach(), torch.tensor([1, 2, 3, 4])
    model.take_over(other, known, known)
    assert torch.allclose(model.table[0], (e[2] + e[3]) / 2, atol=1e-6)
    assert torch.equal(model.table[1:], e[1:])


@pytest.mark.parametrize("contrast", ["simgcl", "xsimgcl"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_contrast_leaves_layer_zero_out(contrast: str, layers: int) -> None:
    model = fitted(layers=layers, contrast=contrast)
    e, normalized = model.table.detach(), model.normalized
    each = [spmm(normalized, e)]
    for _ in range(layers - 1):
        each.append(spmm(normalized, each[-1]))
    mean = torch.stack(each).mean(0)
    assert torch.allclose(model.propagate(), mean, atol=1e-6) and torch.allclose(infer_vectors(model), mean, atol=1e-6)
    rows = torch.tensor([3, 0])
    final, first = model.propagate_to(rows)
    assert torch.allclose(final, mean[rows], atol=1e-6) and torch.equal(first, e[rows])
    assert torch.allclose(embed(model, rows, (ALL,) * layers), mean[rows], atol=1e-6)
    newcomer = model.fold_in_vectors(pairs([(0, 0), (0, 1)], 1, 3))[0]
    sent = torch.stack([e, *each[:-1]]).sum(0)
    assert torch.allclose(newcomer, (sent[2] / 2**0.5 + sent[3] / 2) / layers, atol=1e-6)


BATCH = (torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1]), torch.tensor([2, 0, 2]))


@pytest.mark.parametrize("loss", ["bpr", "bsl"])
def test_xsimgcl_holds_the_noisy_vectors_against_one_of_their_layers(loss: str) -> None:
    """One propagation under noise for both terms; each of users 0, 1 and items 0, 1 counts once."""
    chosen = {"contrast_weight": 0.7, "noise": 0.2, "contrast_temperature": 0.3, "contrast_layer": 1, "loss": loss}
    model = fitted(layers=2, contrast="xsimgcl", l2=0.1, **chosen).train()
    rows = torch.arange(5 if loss == "bpr" else 4)  # item 2 is a negative
    draws = generator_for(5)
    final, layer = propagate_noisy(model.normalized, model.table, rows, 2, noise=0.2, layer=1, generator=draws)
    contrast = info_nce_loss(final[:2], layer[:2], 0.3) + info_nce_loss(final[2:4], layer[2:4], 0.3)
    nodes = model.batch_nodes(Batch(*BATCH, generator_for(0)))
    ranking = model.batch_loss(Batch(*BATCH, generator_for(0)), final[nodes], model.table[nodes])
    assert torch.allclose(model.loss(Batch(*BATCH, generator_for(5))), ranking + 0.7 * contrast, atol=1e-6)


def test_simgcl_holds_two_noisy_propagations_against_each_other() -> None:
    model = fitted(layers=1, contrast="simgcl", contrast_weight=0.7, noise=0.2, contrast_temperature=0.3).train()
    rows, draws = torch.arange(5), generator_for(5)
    noisy = {"noise": 0.2, "layer": 1, "generator": draws}
    one, other = (propagate_noisy(model.normalized, model.table, rows, 1, **noisy)[0] for _ in range(2))
    contrast = info_nce_loss(one[:2], other[:2], 0.3) + info_nce_loss(one[2:4], other[2:4], 0.3)
    nodes = model.batch_nodes(Batch(*BATCH, generator_for(0)))
    ranking = model.batch_loss(Batch(*BATCH, generator_for(0)), model.propagate()[nodes], model.table[nodes])
    assert torch.allclose(model.loss(Batch(*BATCH, generator_for(5))), ranking + 0.7 * contrast, atol=1e-6)


def test_noise_and_dropout_are_for_training_alone() -> None:
    plain, noisy = fitted(contrast="xsimgcl", noise=0.0), fitted(contrast="xsimgcl", noise=0.5, edge_dropout=0.5)
    users = torch.tensor([0, 1])
    assert torch.equal(plain.score_block(users), noisy.score_block(users))
    assert not torch.equal(noisy.train().propagate(generator_for(1)), noisy.propagate())


def test_what_draws_in_a_step_is_not_captured() -> None:
    assert fitted().capturable
    for drawing in ({"contrast": "simgcl"}, {"contrast": "xsimgcl"}, {"edge_dropout": 0.1}):
        assert not fitted(**drawing).capturable


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"layers": -1}, "layers must be >= 0, got -1"),
        ({"layers": 0, "contrast": "simgcl"}, "layers must be >= 1 with contrast simgcl, got 0"),
        ({"contrast": "sgl"}, "contrast must be one of none, simgcl, xsimgcl, got sgl"),
        (
            {"contrast": "xsimgcl", "contrast_layer": 4},
            "contrast_layer must be from 1 to 3, the number of layers, got 4",
        ),
        ({"contrast_temperature": 0.0}, "contrast_temperature must be > 0, got 0.0"),
        ({"contrast_weight": -1.0}, "contrast_weight must be >= 0, got -1.0"),
        ({"noise": -0.1}, "noise must be >= 0, got -0.1"),
        ({"edge_dropout": 1.0}, r"edge_dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_settings_say_what_is_wrong(settings: dict[str, object], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        LightGCNSettings(**settings)


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


def test_without_layers_places_in_time_are_no_weights() -> None:
    model = LightGCN(hand_graph(), LightGCNSettings(width=4, layers=0))
    model.reset(generator_for(0))
    history = pairs([(0, 0), (0, 1)], 1, 3)
    timed = history.with_value(torch.tensor([0.0, 1.0]))
    assert torch.equal(model.eval().fold_in(timed), model.fold_in(history))
