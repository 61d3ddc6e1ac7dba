"""Which view speaks for whom: shares and groups by hand, the same parts as explanations, and what each fusion shows."""

from __future__ import annotations

import base64
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec
from graphrec.models import Fused
from graphrec.report import plots, weighed, write_report
from graphrec.report.weighed import Voices, degree_groups, group_means, hear, views_section
from tests.test_report import check
from tests.worlds import small_world

VIEWS = ("popularity", "item_knn", "spectral")


@pytest.fixture
def fused() -> graphrec.Recommender:
    return trained(VIEWS)


def trained(views: tuple[str, ...]) -> graphrec.Recommender:
    """A fusion whose weights are drawn, whatever was chosen."""
    recommender = graphrec.train(small_world(), model="fused", views=views, seed=1)
    assert isinstance(recommender.model, Fused)
    if len(views) > 1:
        recommender.model.chosen = None
        generator = torch.Generator().manual_seed(2)
        recommender.model.set_weights(
            torch.randn(len(views), 5, generator=generator), torch.randn(len(views), generator=generator)
        )
    return recommender


def shown(recommender: graphrec.Recommender) -> str:
    section = views_section(recommender)
    assert section is not None
    return unescape(section)


def test_voices_are_the_parts_that_explain_gives(fused: graphrec.Recommender) -> None:
    assert isinstance(fused.model, Fused)
    voices, dataset = hear(fused, fused.model), fused.dataset
    listed = fused.recommend(k=20)
    assert voices.parts.shape == (3, len(listed))
    seen = fused.model.graph.seen
    for place in (0, 19, 20, len(listed) - 1):
        user, item = listed["user_id"][place], listed["item_id"][place]
        assert voices.parts[:, place].tolist() == pytest.approx(
            list(fused.explain(user, item).views.values()), abs=1e-4
        )
        assert voices.user_degree[place] == len(seen.rows(int(dataset.users.index([user])[0])))
        assert voices.item_degree[place] == int((seen.col == int(dataset.items.index([item], "item")[0])).sum())


def test_a_sample_is_drawn_by_the_seed(fused: graphrec.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(fused.model, Fused)
    monkeypatch.setattr(weighed, "USERS_SAMPLED", 7)
    first, second = hear(fused, fused.model), hear(fused, fused.model)
    assert np.array_equal(first.parts, second.parts) and first.parts.shape == (3, 7 * 20)


def test_shares_by_hand() -> None:
    voices = Voices(np.array([[3.0, -2.0], [1.0, 2.0]]), np.array([1, 1]), np.array([1, 1]))
    assert voices.shares.tolist() == [[3 / 4, 2 / 4], [1 / 4, 2 / 4]]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 5))
def test_groups_hold_everybody_in_order(degrees: list[int], count: int) -> None:
    degree = np.array(degrees)
    ranges, group = degree_groups(degree, count)
    assert 1 <= len(ranges) <= count and sorted(set(group.tolist())) == list(range(len(ranges)))
    bounds = [[int(end) for end in (*text.split("–"), *text.split("–"))[:2]] for text in ranges]
    assert bounds == sorted(bounds) and len({end for pair in bounds for end in pair}) >= len(ranges)
    for value, place in zip(degrees, group.tolist(), strict=True):
        assert bounds[place][0] <= value <= bounds[place][1]


def test_distinct_degrees_make_equal_groups() -> None:
    ranges, group = degree_groups(np.arange(1, 1201), 4)
    assert ranges == ["1–300", "301–600", "601–900", "901–1,200"]
    assert np.bincount(group).tolist() == [300] * 4


def test_means_by_hand() -> None:
    """Two people of one group and one of another; nobody of the second has an item of the first."""
    shares = np.array([[0.2, 0.4, 0.9], [0.8, 0.6, 0.1]])
    means = group_means(shares, np.array([0, 0, 1]), np.array([0, 1, 1]))
    expected = [[0.2, 0.4, (0.2 + 0.4) / 2], [np.nan, 0.9, 0.9], [0.2, (0.4 + 0.9) / 2, (0.2 + 0.4 + 0.9) / 3]]
    np.testing.assert_allclose(means[0], expected)
    np.testing.assert_allclose(means.sum(axis=0)[~np.isnan(means[0])], 1)


def test_what_is_said_of_each_kind_of_fusion(fused: graphrec.Recommender) -> None:
    model = fused.model
    assert isinstance(model, Fused)
    page = shown(fused)
    assert "For people with" in page and "On items of" in page and weighed.CONSTANT not in page
    model.set_weights(torch.zeros(3, 5), torch.zeros(3))
    assert weighed.CONSTANT in shown(fused)
    model.chosen = "spectral"
    assert "spectral is used alone" in shown(fused) and "fusion that was not used" in shown(fused)


def test_one_view_has_no_map() -> None:
    page = shown(trained(("item_knn",)))
    assert "item_knn is the only view" in page and "<img" not in page
    assert views_section(graphrec.train(small_world(), model="popularity")) is None


def test_views_that_say_nothing_have_no_map(fused: graphrec.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fused, "weighed_parts", lambda self, user, items: torch.zeros(3, len(items)))
    page = shown(fused)
    assert "No view tells any item" in page and "<img" not in page


@pytest.mark.parametrize("views", [("item_knn",), ("popularity", "item_knn")])
def test_the_page_of_a_fusion_without_blend_rows(views: tuple[str, ...], tmp_path: Path) -> None:
    world = graphrec.synthetic.generate(seed=3, num_users=40, num_items=30)
    data = graphrec.read_dataset(world.interactions.groupby("user_id").head(4), seed=3)
    graphrec.train(data, model="fused", views=views).save(tmp_path / "run")
    page, _ = check(write_report(tmp_path / "run"))
    assert "No weights were fitted" in page
    assert ("is the only view" if len(views) == 1 else "The plain mean stays: 0 users") in page


def test_heat_maps_repeat_and_leave_cells_empty() -> None:
    panels = {"a": np.array([[0.25, np.nan], [0.5, 0.5]]), "b": np.zeros((2, 2)), "$c": np.ones((2, 2))}
    first, second = (plots.heat_maps(panels, ["1", "all"], ["2", "all"], x_label="x", y_label="y") for _ in range(2))
    assert first == second
    assert b"nan" not in base64.b64decode(first.partition(",")[2])
