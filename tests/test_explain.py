"""Explanations: paths by hand, effects measured, parts that sum to the score."""

from __future__ import annotations

import pytest
import torch

from graphrec.config import make_config
from graphrec.explain import explain_pair
from graphrec.models import GAT, Fused, GATSettings, ItemKNN, Popularity, build_model, make_settings
from graphrec.sampling import generator_for
from graphrec.training import fit_model
from tests.worlds import hand_graph, small_world


def gat() -> GAT:
    model = GAT(hand_graph(), GATSettings(width=4, layers=2, heads=2))
    model.reset(generator_for(0))
    return model.eval()


def test_the_only_path_by_hand() -> None:
    """User 0 used item 1 (node 3), which shares the genre (node 5) of item 2 (node 4)."""
    found = explain_pair(gat(), user=0, item=2)
    (path,) = found.paths
    assert path.nodes == (0, 3, 5, 4)
    assert path.relations == ("rev_interacts", "rev_genre", "genre")
    # untrained attention goes by 1/√d_j, where d counts interactions: users 2 and 1, item 1 two; the entity two facts
    from_item = 1 / (2 * 2) ** 0.5
    share = (1 / 2**0.5) / (1 / 2**0.5 + 1 + 1 / 2**0.5)  # of the entity, beside users 0 and 1
    from_entity = share * (1 / (2 * 2) ** 0.5 + 1 / 2**0.5)  # times c of item 1, over its interactions
    from_new_item = 1 / 2**0.5
    assert path.weight == pytest.approx(from_item * from_entity * from_new_item, rel=1e-5)


def test_the_effect_is_the_score_without_the_path() -> None:
    model = gat()
    found = explain_pair(model, user=0, item=2)
    cut = hand_graph().without_edges(torch.tensor([0, 3, 5]), torch.tensor([3, 5, 4]))
    without = model.on_graph(cut).score_block(torch.tensor([0]))[0, 2].item()
    assert found.paths[0].effect == pytest.approx(found.score - without, abs=1e-7)
    assert found.score == pytest.approx(model.score_block(torch.tensor([0]))[0, 2].item())


def test_a_path_over_another_user() -> None:
    """User 1 used item 1, which user 0 used, who used item 0."""
    nodes = [path.nodes for path in explain_pair(gat(), user=1, item=0).paths]
    assert nodes == [(1, 3, 0, 2)]


def test_a_seen_item_has_its_own_edge_first() -> None:
    assert explain_pair(gat(), user=0, item=0).paths[0].nodes == (0, 2)


def test_similarity_names_the_used_items() -> None:
    model = ItemKNN(hand_graph(), make_settings("item_knn", {}))
    model.fit()
    found = explain_pair(model, user=1, item=0)
    assert [path.nodes for path in found.paths] == [(1, 3, 2)]
    assert found.paths[0].weight == pytest.approx(found.score)
    assert found.paths[0].effect == pytest.approx(found.score)  # without it nothing is left


def test_popularity_has_no_paths() -> None:
    model = Popularity(hand_graph(), make_settings("popularity", {}))
    model.fit()
    found = explain_pair(model, user=0, item=2)
    assert found.paths == () and found.path_view is None


def test_the_parts_of_a_fusion_sum_to_its_score() -> None:
    world = small_world()
    model = fit_model(world, make_config("fused", epochs=3, width=8, layers=1, heads=2, batch_size=128)).model
    assert isinstance(model, Fused)
    found = explain_pair(model, user=4, item=7)
    assert sum(found.views.values()) == pytest.approx(found.score, rel=1e-4)
    assert found.path_view in found.views


def test_an_isolated_user_has_no_path() -> None:
    graph = hand_graph().without_edges(torch.tensor([1]), torch.tensor([3]))
    model = build_model("gat", graph, {"gat": GATSettings(width=4, heads=2)}).eval()
    assert explain_pair(model, user=1, item=0).paths == ()
