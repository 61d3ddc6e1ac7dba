"""Stacking: the loss by hand, a planted good view, the fall-back, seeds, and data too small to fit."""

from __future__ import annotations

import json
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.errors import TrainingError
from graphrec.evaluation import evaluate
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.models import Fused
from graphrec.models.calibration import rows_of
from graphrec.models.fused_settings import FusedSettings
from graphrec.sampling import generator_for
from graphrec.sparse import CSR
from graphrec.training import fit_fusion, held_out, stacking, weights
from graphrec.training.held_out import hold_out
from graphrec.training.stacking import MIN_USERS
from graphrec.training.weights import Weights
from tests.views import FixedVectors
from tests.worlds import pairs

USERS, ITEMS, WIDTH = 120, 80, 6


def planted() -> tuple[HeteroGraph, CSR, Tensor, Tensor]:
    """A world in which each user's 12 best items by true vectors are used; every fourth of them is held out."""
    generator = generator_for(0)
    users, items = torch.randn(USERS, WIDTH, generator=generator), torch.randn(ITEMS, WIDTH, generator=generator)
    best = (users @ items.T).topk(12).indices
    kept_back = torch.zeros(12, dtype=torch.bool)
    kept_back[::4] = True
    used = best[:, ~kept_back]
    source = np.repeat(np.arange(USERS), used.shape[1])
    target = used.flatten().numpy() + USERS
    graph = assemble((USERS, ITEMS, 0), ["interacts"], source, target, np.zeros(len(source), dtype=np.int64))
    rows = [(user, int(item)) for user in range(USERS) for item in best[user, kept_back]]
    return graph, pairs(rows, USERS, ITEMS), users, items


def fusion_of(graph: HeteroGraph, views: dict[str, tuple[Tensor, Tensor]], **settings: float) -> Fused:
    members = {name: FixedVectors(graph, *vectors) for name, vectors in views.items()}
    made = FusedSettings(**{"views": tuple(views), "candidates": 20, "negatives": 10} | settings)
    return Fused(graph, made, members).eval()


def noise(seed: int) -> tuple[Tensor, Tensor]:
    generator = generator_for(99, seed)
    return torch.randn(USERS, WIDTH, generator=generator), torch.randn(ITEMS, WIDTH, generator=generator)


def test_a_planted_view_is_found_among_noise() -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"noise": noise(1), "good": (users, items), "more_noise": noise(2)})
    report = fit_fusion(model, blend, seed=0)
    judged = {name: metrics["ndcg@20"] for name, metrics in report.judged.items()}
    assert list(judged) == ["noise", "good", "more_noise", "mean", "constant", "fused"]
    assert judged["good"] > judged["noise"] + 0.2
    assert judged["fused"] > judged["mean"] + 0.05
    assert report.constant_scale["good"] > 3 * report.constant_scale["noise"]
    assert report.enough == ("good",)


def test_one_view_after_another_is_taken_away() -> None:
    """Noise goes first; the two halves of the truth are left, and are enough."""
    graph, blend, users, items = planted()
    halves = {"first": (users[:, :3], items[:, :3]), "second": (users[:, 3:], items[:, 3:])}
    model = fusion_of(graph, {"noise": noise(1), **halves, "more_noise": noise(2)})
    report = fit_fusion(model, blend, seed=0)
    three, two = report.fewer
    assert set(three.split(" + ")) in ({"noise", "first", "second"}, {"first", "second", "more_noise"})
    assert two == "first + second"
    assert report.enough == ("first", "second")
    alone = fusion_of(graph, halves)
    scale = torch.tensor([report.constant_scale[view] for view in model.settings.views]).log()
    assert torch.isfinite(scale).all() and torch.isfinite(model.log_scale).all()
    assert report.fewer[two]["ndcg@20"] == pytest.approx(
        fit_fusion(alone, blend, seed=0).judged["constant"]["ndcg@20"], abs=0.03
    )


def test_two_halves_of_the_truth_are_fused() -> None:
    graph, blend, users, items = planted()
    views = {"first": (users[:, :3], items[:, :3]), "second": (users[:, 3:], items[:, 3:])}
    model = fusion_of(graph, views)
    report = fit_fusion(model, blend, seed=0)
    assert report.chosen is None
    assert model.chosen is None
    best = max(report.judged[name]["ndcg@20"] for name in views)
    for kind in ("mean", "constant", "fused"):  # the truth is the plain mean; what was fitted is next to it
        assert report.judged[kind]["ndcg@20"] > best + 0.25
    assert report.num_fit_users == report.num_judges == USERS
    assert USERS <= report.num_fit_rows <= 3 * USERS


def test_no_more_users_fit_than_the_rows_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each user has three rows: with the fourth user of a half there are as many as may be."""
    graph, blend, users, items = planted()
    monkeypatch.setattr(stacking, "MAX_FIT_ROWS", 10)
    report = fit_fusion(fusion_of(graph, {"good": (users, items), "noise": noise(1)}), blend, seed=0)
    assert report.num_fit_users == 2 * 4
    assert report.num_judges == USERS


def test_without_a_gain_the_best_view_is_chosen() -> None:
    """Two views that are one can be fused, but not to be ahead of either."""
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "twin": (users, items)})
    report = fit_fusion(model, blend, seed=0)
    assert report.chosen == model.chosen == "good"
    assert report.reason == "the view good alone has the best ndcg@20 over the judges"


def test_attention_is_used_where_its_lead_is_more_than_its_standard_error() -> None:
    """Leads of four people, by hand: 3, 1, 1, -1 have a mean of 1 and a standard error of .816; 4, 1, 1, -2 of 1.22."""
    others = {"good": torch.zeros(4), "mean": torch.zeros(4), "constant": torch.full([4], 0.5)}
    for lead, used, why in (
        ([3.0, 1.0, 1.0, -1.0], "fused", "the fusion by attention has the best ndcg@20 over the judges"),
        ([4.0, 1.0, 1.0, -2.0], "constant", "the fusion with constant weights is used: attention is not ahead of it"),
        ([-1.0, -1.0, -1.0, -1.0], "constant", "the fusion with constant weights has the best ndcg@20 over the judges"),
    ):
        chosen, reason = stacking._choose({**others, "fused": others["constant"] + torch.tensor(lead)})
        assert chosen == used
        assert reason.startswith(why)
    chosen, reason = stacking._choose(dict.fromkeys(("good", "twin", "mean", "constant", "fused"), torch.ones(4)))
    assert (chosen, reason) == ("good", "the view good alone has the best ndcg@20 over the judges")


def test_the_judges_are_ranked_in_full() -> None:
    """Every view's figures are those of an evaluation over all who judge, also where one half has a user more."""
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "noise": noise(1)})
    report = fit_fusion(model, blend, seed=4)
    found = evaluate(model.views["noise"].score_block, train=graph.seen, test=blend, ks=(20,))
    assert report.judged["noise"]["recall@20"] == pytest.approx(found.metrics["recall@20"])
    rows = [(u, i) for u, i in zip(blend.row_index().tolist(), blend.col.tolist(), strict=True) if u != 17]
    report, odd = fit_fusion(model, pairs(rows, USERS, ITEMS), seed=4), pairs(rows, USERS, ITEMS)
    found = evaluate(model.views["noise"].score_block, train=graph.seen, test=odd, ks=(20,))
    assert report.judged["noise"]["ndcg@20"] == pytest.approx(found.metrics["ndcg@20"])


def test_each_half_judges_what_the_other_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is used in the end both have fitted together."""
    graph, blend, users, items = planted()
    truth = {"first": (users[:, :3], items[:, :3]), "second": (users[:, 3:], items[:, 3:])}
    model = fusion_of(graph, {**truth, "noise": noise(1)})
    halves = [half.sort().values for half in torch.randperm(USERS, generator=generator_for(0)).chunk(2)]
    fitted, judged, fit, judge = [], [], stacking.fit_weights, stacking._judge

    def watched(rows: held_out.HeldOut, settings: FusedSettings) -> tuple[Weights, Weights]:
        found = fit(rows, settings)
        fitted.extend((rows.num_rows, by_attention, *kind) for by_attention, kind in enumerate(found))
        return found

    def watched_judge(model: Fused, blend: CSR, judges: Tensor, contenders: dict[str, Weights]) -> object:
        judged.append((judges, contenders["fused"]))
        return judge(model, blend, judges, contenders)

    monkeypatch.setattr(stacking, "fit_weights", watched)
    monkeypatch.setattr(stacking, "_judge", watched_judge)
    report = fit_fusion(model, blend, seed=0)
    for (judges, used), others, fits in zip(judged, halves[::-1], halves, strict=True):
        assert torch.equal(judges, others)
        own = [rows for rows, attention, *found in fitted if attention and torch.equal(found[0], used[0])]
        assert own and own[0] <= sum(len(blend.rows(int(user))) for user in fits) < report.num_fit_rows
    assert report.chosen is None and report.reason.startswith("the fusion")
    at_the_end = max(fitted, key=lambda fit: (fit[0], fit[1] == bool(model.attention.any())))
    assert at_the_end[0] == report.num_fit_rows
    assert torch.equal(at_the_end[2], model.attention) and torch.equal(at_the_end[3], model.log_scale)


class TwoValleys:
    """A loss that is low where ln γ of one of two views is 1, lowest where that of the other is 4."""

    num_users = num_rows = 1

    def __init__(self, lowest: int) -> None:
        views = torch.eye(2)
        self.valleys = ((1.0, views[1 - lowest]), (2.0, 4 * views[lowest]))

    def loss(self, attention: Tensor, log_scale: Tensor) -> tuple[float, Tensor, Tensor]:
        parts = [(depth * (-(log_scale - at).square().sum() / 2).exp(), log_scale - at) for depth, at in self.valleys]
        slope = torch.stack([part * away for part, away in parts]).sum(dim=0)
        return -float(sum(part for part, _ in parts)), torch.zeros_like(attention), slope


@pytest.mark.parametrize("lowest", [0, 1])
def test_of_several_minima_the_lowest_is_found(lowest: int) -> None:
    """From the plain mean the descent would end in the nearer one, whose loss is half as low."""
    rows, settings = cast("held_out.HeldOut", TwoValleys(lowest)), FusedSettings(views=("a", "b"), fusion_l2=0)
    expected = torch.zeros(2).index_fill(0, torch.tensor(lowest), 4.0)
    for attention, log_scale in weights.fit_weights(rows, settings):
        torch.testing.assert_close(log_scale, expected, atol=1e-2, rtol=0)
        assert not attention.any()


class Alike:
    """Two views that are one, beside one that only harms: a loss of (ln (γ_1 + γ_2) − 4)² and of γ_3."""

    num_users, num_rows = 1, 15_000

    def loss(self, attention: Tensor, log_scale: Tensor) -> tuple[float, Tensor, Tensor]:
        gamma = log_scale.exp()
        away = gamma[:2].sum().log() - 4
        slope = torch.cat([2 * away * gamma[:2] / gamma[:2].sum(), 0.01 * gamma[2:]])
        return float(away**2 + 0.01 * gamma[2]), torch.zeros_like(attention), slope


def test_of_views_that_are_one_constant_weights_are_even() -> None:
    """The squares of ln γ alone would be least where one of the two has next to all."""
    settings = FusedSettings(views=("a", "b", "c"))
    (_, log_scale), _ = weights.fit_weights(cast("held_out.HeldOut", Alike()), settings)
    first, second, harmful = log_scale.exp().tolist()
    assert first == pytest.approx(second, rel=0.01) and harmful < 0.01 * first


def test_candidates_are_unknown_and_count_once() -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "noise": noise(1)}, negatives=50)
    some = torch.arange(0, USERS, 2)
    rows = hold_out(model, blend, some, generator_for(0))
    for place, user in enumerate(some.tolist()):
        own = slice(int(rows.start[place]), int(rows.start[place + 1]))
        counted, held = rows.items[own].split([len(rows.items[own]) - int(rows.held[place]), int(rows.held[place])])
        known = {*graph.seen.rows(user).tolist(), *blend.rows(user).tolist()}
        assert len(set(counted.tolist())) == len(counted)
        assert not known & set(counted.tolist())
        assert held.tolist() == blend.rows(user).tolist()
        torch.testing.assert_close(
            rows.scores[:, own], model.standardized(seen_by(graph, user), torch.tensor([user]))[:, 0, rows.items[own]]
        )
        scores = model.views["good"].score_block(torch.tensor([user]))[0]
        scores[list(known)] = -torch.inf
        assert set(scores.topk(20).indices.tolist()) <= set(counted.tolist())


def seen_by(graph: HeteroGraph, user: int) -> CSR:
    return rows_of(graph.seen, torch.tensor([user]))


def test_the_contexts_are_those_of_the_fusion() -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "noise": noise(1)})
    rows = hold_out(model, blend, torch.arange(7, 60), generator_for(0))
    of_user, of_item = model.degree_contexts(graph.seen.degree)
    torch.testing.assert_close(rows.of_user, of_user[7:60])
    torch.testing.assert_close(rows.of_item, of_item[rows.items])


def test_only_items_within_reach_of_a_view_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the three held-out items of each user, those that one of the views has among its two best unknown ones."""
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"first": (users[:, :3], items[:, :3]), "second": (users[:, 3:], items[:, 3:])})
    monkeypatch.setattr(held_out, "WITHIN", 2)
    some = torch.arange(10, 40)
    rows = hold_out(model, blend, some, generator_for(0))
    expected = []
    for user in some.tolist():
        rows_of_user = blend.rows(user).long()
        reached = torch.zeros(len(rows_of_user), dtype=torch.bool)
        for view in model.views.values():
            scores = view.score_block(torch.tensor([user]))[0]
            unknown = scores.clone()
            unknown[graph.seen.rows(user).long()] = unknown[rows_of_user] = -torch.inf
            reached |= scores[rows_of_user] >= unknown.topk(2).values[-1]
        expected.append(rows_of_user[reached].tolist())
    ends = zip(rows.start[1:].tolist(), rows.held.tolist(), strict=True)
    assert [rows.items[end - held : end].tolist() for end, held in ends] == [held for held in expected if held]
    assert rows.num_users < 30 and 0 < rows.num_rows < 90


def test_nothing_within_reach_keeps_the_plain_mean() -> None:
    """Both views put the held-out items last of 80, and all others before them."""
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"worst": (users, -items), "twin": (users, -items)})
    report = fit_fusion(model, blend, seed=0)
    assert report.reason == "the plain mean stays: no held-out item is among the best 50 of any view"
    assert report.enough == report.views  # nobody has judged fewer


def test_a_strong_l2_keeps_the_plain_mean() -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "noise": noise(1)}, fusion_l2=1e6)
    fit_fusion(model, blend, seed=0)
    assert model.attention.abs().max() < 1e-4
    assert model.log_scale.abs().max() < 1e-4


def test_seeds_repeat() -> None:
    graph, blend, users, items = planted()
    reports = []
    for seed in (1, 1, 2):
        model = fusion_of(graph, {"good": (users, items), "noise": noise(1)})
        reports.append(fit_fusion(model, blend, seed=seed))
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]
    assert json.loads(json.dumps(reports[0].to_json())) == reports[0].to_json()


def test_too_few_users_keep_the_plain_mean() -> None:
    graph, _, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "noise": noise(1)})
    model.set_weights(torch.ones(2, 5), torch.ones(2))
    model.chosen = "noise"
    for rows in ([], [(user, 0) for user in range(MIN_USERS - 1)]):
        report = fit_fusion(model, pairs(rows, USERS, ITEMS), seed=0)
        assert report.chosen is None
        assert report.judged == {}
        assert report.reason.startswith(f"the plain mean stays: {len(rows)} users have blend rows")
        assert report.scale == {"good": 1.0, "noise": 1.0}
        assert model.chosen is None
        assert torch.equal(model.attention, torch.zeros(2, 5))


def test_scores_that_are_not_numbers_stop_it() -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "bad": (users, items * torch.nan)})
    with pytest.raises(TrainingError, match="the view bad gives scores that are not finite"):
        fit_fusion(model, blend, seed=0)


def test_the_fusion_by_attention_is_reported_whatever_is_used() -> None:
    graph, blend, users, items = planted()
    model = fusion_of(graph, {"good": (users, items), "twin": (users, items)})
    report = fit_fusion(model, blend, seed=0)
    assert report.chosen == "good"
    assert report.fitted["scale"].keys() == report.fitted["attention"].keys() == {"good", "twin"}
    assert report.fitted["attention"] == report.attention and report.fitted["scale"] == report.scale
