"""A fusion of what is odd: nothing to weigh, nothing to learn from, views that say nothing, noise or no number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import graphrec
from graphrec.errors import TrainingError
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.models import Fused, Model
from graphrec.models.fused_settings import FusedSettings
from graphrec.ranking import rank
from graphrec.sparse import CSR
from graphrec.training import fit_fusion
from tests.training.test_stacking import ITEMS, USERS, fusion_of, noise, planted
from tests.views import FixedScores, FixedVectors
from tests.worlds import pairs


def halves() -> tuple[HeteroGraph, CSR, dict[str, tuple[Tensor, Tensor]]]:
    """The planted world and the two halves of its truth, which are worth fusing."""
    graph, blend, users, items = planted()
    return graph, blend, {"first": (users[:, :3], items[:, :3]), "second": (users[:, 3:], items[:, 3:])}


def tables_of(graph: HeteroGraph, views: dict[str, Tensor]) -> Fused:
    members: dict[str, Model] = {name: FixedScores(graph, table) for name, table in views.items()}
    return Fused(graph, FusedSettings(views=tuple(views), candidates=20, negatives=10), members).eval()


def use_fitted(model: Fused, fitted: dict[str, dict[str, object]]) -> None:
    """The fusion by attention, whatever was chosen."""
    attention, scale = fitted["attention"].values(), fitted["scale"].values()
    model.chosen = None
    model.set_weights(torch.tensor([list(row.values()) for row in attention]), torch.tensor(list(scale)).log())  # type: ignore[attr-defined]


def mean_shares(model: Fused, k: int = 20) -> Tensor:
    """Each view's mean |part| over the sum of all, in the best k items of everybody, [S]."""
    users = torch.arange(USERS)
    lists = rank(model.score_block, users, k, num_items=ITEMS, seen=model.graph.seen).items
    sizes = torch.cat([model.weighed_parts(int(user), lists[user]).abs() for user in users], dim=1)
    return (sizes / sizes.sum(dim=0)).mean(dim=1)


def test_without_blend_rows_the_plain_mean_stays_and_the_report_says_why() -> None:
    """Users with fewer than five rows keep all of them for training."""
    world = graphrec.synthetic.generate(seed=3, num_users=60, num_items=40)
    data = graphrec.read_dataset(world.interactions.groupby("user_id").head(4), seed=3)
    run = graphrec.train(data, model="fused", views=("popularity", "item_knn")).run
    assert isinstance(run.model, Fused) and run.model.chosen is None
    assert not run.model.attention.any() and not run.model.log_scale.any()
    assert run.metrics["fusion"]["reason"] == "the plain mean stays: 0 users have blend rows, at least 20 are needed"
    assert run.metrics["fusion"]["judged"] == {}


@pytest.mark.parametrize("rows", [[], [(0, 1)]])
def test_one_view_is_used_as_it_is(rows: list[tuple[int, int]]) -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items)})
    report = fit_fusion(model, pairs(rows, USERS, ITEMS) if rows else blend, seed=0)
    assert report.reason == "good is the only view, so there is nothing to weigh"
    assert report.chosen == model.chosen == "good"
    everybody = torch.arange(USERS)
    assert torch.equal(model.score_block(everybody), model.views["good"].score_block(everybody))


def test_two_views_that_are_one_rank_like_it() -> None:
    """Attention may weigh people and items with them that one view alone could not, for as little as that is worth."""
    graph, blend, users, items = planted()
    report = fit_fusion(fusion_of(graph, {"good": (users, items), "twin": (users, items)}), blend, seed=0)
    assert report.judged["constant"] == report.judged["mean"] == report.judged["twin"] == report.judged["good"]
    assert report.judged["fused"]["ndcg@20"] == pytest.approx(report.judged["good"]["ndcg@20"], abs=0.01)


def test_noise_is_shut_out() -> None:
    """Beside two halves of the truth, two views of noise speak in under 5 % each, and spoil next to nothing."""
    graph, blend, views = halves()
    without = fit_fusion(fusion_of(graph, views), blend, seed=0)
    model = fusion_of(graph, {**views, "noise": noise(1), "more_noise": noise(2)})
    report = fit_fusion(model, blend, seed=0)
    assert report.judged["mean"]["ndcg@20"] < without.judged["mean"]["ndcg@20"] - 0.2
    for name in ("fused", "constant"):
        assert report.judged[name]["ndcg@20"] > without.judged[name]["ndcg@20"] - 0.01
    use_fitted(model, report.fitted)
    assert (mean_shares(model)[2:] < 0.05).all()


@pytest.mark.parametrize("level", [0.0, 3.7])
def test_a_view_of_constant_scores_says_nothing(level: float) -> None:
    graph, blend, views = halves()
    model = fusion_of(graph, views | {"flat": (torch.full((USERS, 1), level), torch.ones(ITEMS, 1))})
    everybody = torch.arange(USERS)
    assert torch.equal(model.standardized(graph.seen, everybody)[2], torch.zeros(USERS, ITEMS))
    report = fit_fusion(model, blend, seed=0)
    use_fitted(model, report.fitted)
    assert model.score_block(everybody).isfinite().all()
    assert report.judged["fused"]["ndcg@20"] > max(report.judged[name]["ndcg@20"] for name in views)
    assert mean_shares(model)[2] == 0


def test_views_that_all_say_nothing_leave_items_in_their_order() -> None:
    graph, blend, *_ = planted()
    model = tables_of(graph, {"flat": torch.zeros(USERS, ITEMS), "level": torch.ones(USERS, ITEMS)})
    fit_fusion(model, blend, seed=0)
    assert model.attention.isfinite().all() and model.log_scale.isfinite().all()
    found = rank(model.score_block, torch.arange(3), 5, num_items=ITEMS, seen=graph.seen)
    for user in range(3):
        unseen = sorted(set(range(ITEMS)) - set(graph.seen.rows(user).tolist()))
        assert found.items[user].tolist() == unseen[:5]


def test_a_user_without_train_rows_and_an_item_that_no_view_knows_are_ranked() -> None:
    """The last user has used nothing; the last item is used by nobody, and its vectors are 0."""
    graph, blend, views = halves()
    source, target = graph.seen.row_index().numpy(), graph.seen.col.numpy() + USERS + 1
    wider = assemble((USERS + 1, ITEMS + 1, 0), ["interacts"], source, target, np.zeros(len(source), dtype=np.int64))
    nothing = torch.zeros(1, 3)
    members: dict[str, Model] = {
        name: FixedVectors(wider, torch.cat([users, nothing]), torch.cat([items, nothing]))
        for name, (users, items) in views.items()
    }
    model = Fused(wider, FusedSettings(views=tuple(views), candidates=20, negatives=10), members).eval()
    rows = list(zip(blend.row_index().tolist(), blend.col.tolist(), strict=True))
    use_fitted(model, fit_fusion(model, pairs([*rows, (USERS, 0)], USERS + 1, ITEMS + 1), seed=0).fitted)
    assert model.score_block(torch.arange(USERS + 1)).isfinite().all()
    found = rank(model.score_block, torch.tensor([USERS, 0]), ITEMS + 1, num_items=ITEMS + 1, seen=wider.seen)
    assert sorted(found.items[0].tolist()) == list(range(ITEMS + 1))
    assert ITEMS in found.items[1].tolist()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_name_the_view(value: float) -> None:
    """One score of one person is enough, wherever that person is: fitting, judging, or ranking alone."""
    graph, blend, users, items = planted()
    table = users @ items.T
    for user in range(0, USERS, 40):
        broken = table.clone()
        broken[user, 7] = value
        model = tables_of(graph, {"good": table, "bad-one": broken})
        with pytest.raises(TrainingError, match="the view bad-one gives scores that are not finite"):
            fit_fusion(model, blend, seed=0)
        model.chosen = None
        with pytest.raises(TrainingError, match="the view bad-one gives scores that are not finite"):
            model.score_block(torch.tensor([user]))


def test_vectors_that_are_not_finite_name_the_view() -> None:
    graph, blend, users, items = planted()
    for at in (0, 50):
        broken = items.clone()
        broken[at, 0] = torch.inf
        model = fusion_of(graph, {"good": (users, items), "bad": (users, broken)})
        with pytest.raises(TrainingError, match="the view bad gives"):
            fit_fusion(model, blend, seed=0)
