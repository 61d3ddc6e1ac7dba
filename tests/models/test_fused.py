"""The fused score: standardising, the attention by hand, choice of one view, and state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph, build_graph
from graphrec.models import Fused, ItemKNN, Model, Popularity, fused
from graphrec.models.calibration import product_moments, rows_of, score_moments, standard_scale, vector_moments
from graphrec.models.fused_settings import FusedSettings
from graphrec.models.item_knn import ItemKNNSettings
from graphrec.models.recency import RecencySettings
from graphrec.ranking import rank
from graphrec.sampling import generator_for
from tests.views import FixedVectors
from tests.worlds import hand_graph, pairs, small_world


def vectors_view(graph: HeteroGraph, seed: int) -> FixedVectors:
    generator = generator_for(seed)
    users = torch.randn(graph.num_users, 3, generator=generator)
    items = torch.randn(graph.num_items, 3, generator=generator) + 1
    return FixedVectors(graph, users, items)


def make(*, graph: HeteroGraph | None = None, names: tuple[str, ...] = ("one", "two", "item_knn")) -> Fused:
    graph = build_graph(small_world()) if graph is None else graph
    known: dict[str, Model] = {
        "one": vectors_view(graph, 1),
        "two": vectors_view(graph, 2),
        "item_knn": ItemKNN(graph, ItemKNNSettings()),
        "popularity": Popularity(graph, RecencySettings()),
    }
    model = Fused(graph, FusedSettings(views=names), {name: known[name] for name in names})
    model.fit()
    return model.eval()


def draw_weights(model: Fused) -> Fused:
    generator = generator_for(5)
    model.set_weights(
        torch.randn(model.attention.shape, generator=generator), torch.randn(len(model.views), generator=generator)
    )
    return model


def by_brute_force(scores: Tensor, seen: list[int]) -> Tensor:
    """Standardised over the items not seen."""
    unseen = [item for item in range(len(scores)) if item not in seen]
    values = scores.double()[unseen]
    return ((scores.double() - values.mean()) / values.std(correction=0)).float()


@given(st.integers(0, 50), st.booleans())
def test_standardising_equals_brute_force(seed: int, closed_form: bool) -> None:
    generator = generator_for(seed)
    users, items = torch.randn(4, 3, generator=generator), 3 * torch.randn(12, 3, generator=generator) + 2
    history = pairs([(0, 3), (1, 0), (1, 1), (1, 11), (3, 5)], 4, 12)
    scores = users @ items.T
    moments = product_moments(users, *vector_moments(items)) if closed_form else score_moments(scores)
    mean, scale = standard_scale(scores, *moments, history)
    found = (scores - mean[:, None]) * scale[:, None]
    for row in range(4):
        assert torch.allclose(found[row], by_brute_force(scores[row], history.rows(row).tolist()), atol=1e-3)


def test_equal_scores_become_zero() -> None:
    """Row 0 is constant, row 1 constant where not seen, row 2 has seen everything."""
    scores = torch.tensor([[3.3, 3.3, 3.3, 3.3], [0.0, 7.7, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    history = pairs([(1, 1), *((2, item) for item in range(4))], 3, 4)
    _, scale = standard_scale(scores, *score_moments(scores), history)
    assert torch.equal(scale, torch.zeros(3))


def test_rows_come_in_the_order_asked() -> None:
    rows = rows_of(pairs([(0, 1), (2, 0), (2, 3)], 3, 4), torch.tensor([2, 1, 0, 2]))
    assert [rows.rows(row).tolist() for row in range(4)] == [[0, 3], [], [1], [0, 3]]


def test_it_starts_as_the_plain_mean() -> None:
    model = make()
    users = torch.tensor([4, 0, 17])
    found = model.score_block(users)
    for row, user in enumerate(users.tolist()):
        seen = model.graph.seen.rows(user).tolist()
        views = [view.score_block(torch.tensor([user]))[0] for view in model.views.values()]
        expected = sum(by_brute_force(scores, seen) for scores in views) / 3
        assert torch.allclose(found[row], expected, atol=1e-4)


def test_attention_by_hand() -> None:
    """User 0 used items 0 and 1, user 1 item 1: user degrees 2 and 1, item degrees 1, 2 and 0."""
    model = make(graph=hand_graph(), names=("one", "two"))
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [0.0, -0.2, 0.7, 0.0, -0.5]])
    model.set_weights(attention, torch.tensor([math.log(2.0), 0.0]))
    z = torch.tensor([1.5, -0.5])
    parts = model.weigh(z[:, None, None], torch.tensor([2]), torch.tensor([[1]]))[:, 0, 0]
    user_logs, item_logs = np.log([3, 2]), np.log([2, 3, 1])
    of_user = (math.log(3) - user_logs.mean()) / user_logs.std()
    of_item = (math.log(3) - item_logs.mean()) / item_logs.std()
    spread = 1.0  # z is 0.5 ± 1
    first = 0.1 + 0.2 * of_user + 0.3 * of_item + 0.4 * spread / 8 + 0.5 * 1.5 / 8
    second = 0.0 - 0.2 * of_user + 0.7 * of_item - 0.5 * -0.5 / 8
    share = 1 / (1 + math.exp(second - first))
    assert parts.tolist() == pytest.approx([share * 2 * 1.5, (1 - share) * 1 * -0.5], abs=1e-6)


def test_parts_add_up_to_the_score() -> None:
    model, items = draw_weights(make()), torch.tensor([5, 0, 31])
    for chosen in (None, "two"):
        model.chosen = chosen
        parts = model.view_parts(7, items)
        assert parts.shape == (3, 3)
        assert torch.allclose(parts.sum(dim=0), model.score_block(torch.tensor([7]))[0, items], atol=1e-5)
    assert torch.equal(parts[[0, 2]], torch.zeros(2, 3))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, users = draw_weights(make()), torch.arange(60)
    whole = model.score_block(users)
    monkeypatch.setattr(fused, "_BLOCK_SCORES", 300)
    assert torch.allclose(model.score_block(users), whole, atol=1e-5)


def test_a_chosen_view_ranks_alone() -> None:
    model = draw_weights(make())
    model.chosen = "item_knn"
    users, seen = torch.arange(60), model.graph.seen
    alone = model.views["item_knn"]
    found = rank(model.score_block, users, 10, num_items=40, seen=seen)
    expected = rank(alone.score_block, users, 10, num_items=40, seen=seen)
    assert torch.equal(found.items, expected.items)
    assert torch.equal(model.fold_in(seen), alone.fold_in(seen))
    assert torch.equal(model.similarity_block(users[:3]), alone.similarity_block(users[:3]))
    with pytest.raises(UsageError, match="did you mean item_knn"):
        model.chosen = "itemknn"


def test_state_round_trip() -> None:
    model, users = draw_weights(make()), torch.arange(60)
    twin = Fused(model.graph, model.settings, {name: make().views[name] for name in model.views})
    for chosen in ("two", None):
        model.chosen = chosen
        twin.load_state_dict(model.state_dict())
        assert twin.chosen == chosen
        assert torch.equal(twin.eval().score_block(users), model.score_block(users))


def test_folding_in_a_known_user_gives_that_users_scores() -> None:
    model = draw_weights(make(names=("item_knn", "popularity")))
    assert torch.allclose(model.fold_in(model.graph.seen), model.score_block(torch.arange(60)), atol=1e-5)


def test_folding_in_standardises_over_the_items_not_used() -> None:
    model = make(names=("one",))
    history = pairs([(0, 3), (0, 8)], 1, 40)
    expected = by_brute_force(model.views["one"].fold_in(history)[0], [3, 8])
    assert torch.allclose(model.fold_in(history)[0], expected, atol=1e-4)


def test_users_of_nothing_and_of_everything_get_finite_scores() -> None:
    model = draw_weights(make())
    everything = [(1, item) for item in range(40)]
    assert model.fold_in(pairs(everything, 2, 40)).isfinite().all()


def test_likeness_is_the_mean_of_the_views_that_know_one() -> None:
    model, items = make(names=("one", "popularity", "item_knn")), torch.tensor([3, 1])
    knowing = [model.views[name].similarity_block(items) for name in ("one", "item_knn")]
    assert torch.allclose(model.similarity_block(items), sum(knowing) / 2)
    with pytest.raises(UsageError, match="no view knows"):
        make(names=("popularity",)).similarity_block(items)


def test_on_another_graph_it_keeps_weights_and_choice() -> None:
    model = draw_weights(make())
    users = torch.tensor([7])
    same = model.on_graph(model.graph)
    assert torch.equal(same.score_block(users), model.score_block(users))
    item = int(model.graph.seen.rows(7)[0])
    fewer = model.graph.without_edges(torch.tensor([7]), torch.tensor([item + 60]))
    assert not torch.equal(model.on_graph(fewer).score_block(users), model.score_block(users))
    model.chosen = "one"
    assert model.on_graph(fewer).chosen == "one"


def test_weights_are_copied_without_the_views() -> None:
    model, other = draw_weights(make()), make()
    model.chosen = "two"
    before = other.views["one"].table.clone()
    other.copy_weights(model)
    assert torch.equal(other.attention, model.attention)
    assert torch.equal(other.log_scale, model.log_scale)
    assert other.chosen == "two"
    assert torch.equal(other.views["one"].table, before)


def test_settings_and_views_are_checked() -> None:
    for views in ((), ("gat", "gat"), ("fused", "gat")):
        with pytest.raises(UsageError, match="views must be distinct models"):
            FusedSettings(views=views)
    with pytest.raises(UsageError, match="fusion_l2 must be >= 0, got -1"):
        FusedSettings(fusion_l2=-1)
    assert FusedSettings(views=["gat"]) == FusedSettings(views=("gat",))  # type: ignore[arg-type]
    graph = hand_graph()
    with pytest.raises(UsageError, match="views must be one, two, got two"):
        Fused(graph, FusedSettings(views=("one", "two")), {"two": vectors_view(graph, 2)})
