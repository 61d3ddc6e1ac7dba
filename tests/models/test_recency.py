"""Newer items count more: in vectors of users that are means of their items', as in sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from graphrec.errors import UsageError
from graphrec.explain import explain_pair
from graphrec.graph import HeteroGraph
from graphrec.models import EmbeddingModel, Fused, History, build_model, make_settings
from graphrec.models.fused_settings import FusedSettings
from graphrec.sampling import Batch, generator_for
from tests.models.items import random_graph
from tests.worlds import pairs

MEANS: dict[str, dict[str, Any]] = {
    "lightgcn": {"layers": 1},
    "gat": {"layers": 2, "heads": 2},
    "history": {"pooling": "mean"},
}


def timed() -> HeteroGraph:
    graph = random_graph(4)
    return replace(graph, times=torch.randint(-1, 6, (graph.seen.num_edges,), generator=generator_for(1)))


def drawn(name: str, graph: HeteroGraph, recency: float) -> EmbeddingModel | History:
    settings = make_settings(name, MEANS[name] | {"width": 4, "recency": recency})
    model = build_model(name, graph, {name: settings})
    assert isinstance(model, EmbeddingModel | History)
    model.reset(generator_for(2))
    return model.eval()


def item_vectors(model: EmbeddingModel | History) -> torch.Tensor:
    return model.table.detach() if isinstance(model, History) else model.item_vectors()


@pytest.mark.parametrize("name", MEANS)
def test_a_user_is_the_weighted_mean_of_what_they_used(name: str) -> None:
    graph = timed()
    assert graph.times is not None
    model = drawn(name, graph, 0.5)
    vectors, row = item_vectors(model), graph.seen.row_index()
    found = model.vectors()
    assert found is not None
    for user in range(graph.num_users):
        used, times = graph.seen.rows(user).long(), graph.times[row == user]
        weight = torch.stack([(1.0 + (times > time).sum()) ** -0.5 for time in times])
        expected = (weight[:, None] * vectors[used]).sum(0) / weight.sum()
        assert torch.allclose(found[0][user], expected, atol=1e-6)
        added = model.contributions(model.used.take_rows(torch.tensor([user])), 3)
        assert torch.allclose(added, weight / weight.sum() * (vectors[used] @ vectors[3]), atol=1e-6)
    users = torch.arange(graph.num_users)
    assert torch.allclose(model.score_block(users), found[0] @ vectors.T, atol=1e-6)
    assert torch.allclose(model.fold_in(model.used), model.score_block(users), atol=1e-6)


@pytest.mark.parametrize("name", MEANS)
def test_without_an_order_all_items_count_alike(name: str) -> None:
    model = drawn(name, timed(), 1.0)
    history = pairs([(0, 2), (0, 5), (0, 7)], 2, 20)
    mean = item_vectors(model)[[2, 5, 7]].mean(0)
    expected = torch.stack([mean @ item_vectors(model).T, torch.zeros(20)])  # the second person used nothing
    assert torch.allclose(model.fold_in(history), expected, atol=1e-6)


@pytest.mark.parametrize("name", MEANS)
def test_training_is_the_same(name: str) -> None:
    graph = timed()
    models = [drawn(name, graph, recency).train() for recency in (0.0, 1.0)]
    user, item = graph.seen.row_index()[:40], graph.seen.col[:40].long()
    losses = [model.loss(Batch(user, item, item.flip(0), generator_for(3))) for model in models]
    assert losses[0].item() == losses[1].item()


@pytest.mark.parametrize("name", MEANS)
def test_it_needs_times(name: str) -> None:
    settings = make_settings(name, MEANS[name] | {"recency": 1.0})
    assert type(drawn(name, timed(), 0.0)).obstacle(random_graph(4), settings) is not None
    assert type(drawn(name, timed(), 0.0)).obstacle(timed(), settings) is None


def test_attention_over_a_history_takes_none() -> None:
    with pytest.raises(UsageError, match=r"recency must be 0 but for pooling mean, got 1\.0"):
        make_settings("history", {"recency": 1.0})


@pytest.mark.parametrize("name", MEANS)
def test_paths_are_used_items_and_what_each_adds(name: str) -> None:
    graph = timed()
    model = drawn(name, graph, 1.0)
    user, item = 2, 11
    found = explain_pair(model, user, item, count=50)
    added = model.contributions(model.used.take_rows(torch.tensor([user])), item)
    used = (graph.num_users + model.used.rows(user)).tolist()
    expected = {node: part for node, part in zip(used, added.tolist(), strict=True) if part > 0}
    assert expected and {path.nodes[1]: pytest.approx(path.weight, abs=1e-6) for path in found.paths} == expected
    assert found.score == pytest.approx(added.sum().item(), abs=1e-5)


def test_a_fusion_weighs_such_views() -> None:
    graph = timed()
    views = {name: drawn(name, graph, 1.0) for name in MEANS}
    fused = Fused(graph, FusedSettings(views=tuple(views)), views).eval()
    items = torch.tensor([1, 4, 6])
    parts = fused.view_parts(3, items).sum(dim=0)
    assert torch.allclose(fused.score_block(torch.tensor([3]))[0, items], parts, atol=1e-4)
