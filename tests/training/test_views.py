"""Views that a data set cannot carry: left out of a fusion, refused alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import graphrec
from graphrec.config import make_config, read_config, write_config
from graphrec.errors import DataError
from graphrec.graph import HeteroGraph
from graphrec.models import MODELS, ItemKNN
from graphrec.report import write_report
from graphrec.training import settle_views
from tests.worlds import small_world

WORLD = small_world()


class Demanding(ItemKNN):
    """A view that needs more than any data set has."""

    name = "demanding"

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        return f"{graph.num_items} items are too few"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, Demanding.name, Demanding)


def test_a_view_that_fits_stays() -> None:
    config = make_config("fused", views=("item_knn", "popularity"))
    assert settle_views(config, WORLD) is config


def test_a_view_that_does_not_fit_is_left_out_and_named(tmp_path: Path) -> None:
    config = settle_views(make_config("fused", views=("item_knn", "demanding", "popularity")), WORLD)
    why = f"{WORLD.num_items} items are too few"
    assert config.models["fused"].views == ("item_knn", "popularity")
    assert set(config.models) == {"fused", "item_knn", "popularity"}
    assert config.left_out == {"demanding": why}
    write_config(config, tmp_path / "run.toml")
    assert read_config(tmp_path / "run.toml") == config


def test_the_report_says_what_is_left_out(tmp_path: Path) -> None:
    recommender = graphrec.train(WORLD, views=("item_knn", "demanding", "popularity"), seed=1)
    assert list(recommender.model.views) == ["item_knn", "popularity"]
    recommender.save(tmp_path / "run")
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert f"demanding is left out: {WORLD.num_items} items are too few." in page


@pytest.mark.parametrize("options", [{"model": "demanding"}, {"views": ("item_knn", "demanding")}])
def test_a_run_is_not_extended_with_data_that_a_view_cannot_carry(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(Demanding, "obstacle", ItemKNN.obstacle)
        recommender = graphrec.train(WORLD, seed=1, **options)
    with pytest.raises(DataError, match=rf"extended with this data: demanding: {WORLD.num_items} items are too few"):
        recommender.extend(WORLD)


@pytest.mark.parametrize("options", [{"model": "demanding"}, {"views": ("demanding",)}])
def test_nothing_left_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"no model can be fitted: demanding: .* are too few"):
        graphrec.train(WORLD, **options)


def test_a_configuration_used_again_tells_of_this_data_alone() -> None:
    config = make_config("fused", views=("item_knn", "popularity")).model_copy(
        update={"left_out": {"ease": "too large"}}
    )
    assert settle_views(config, WORLD).left_out == {}
