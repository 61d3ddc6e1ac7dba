"""Choosing for a time: which views, how many epochs, and a reason for each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

import graphrec
from graphrec.data import Dataset, Part, synthetic
from graphrec.errors import DataError, UsageError
from graphrec.training import choice, choose, fit_model
from graphrec.training.choice import MIN_EPOCHS, VIEWS
from graphrec.training.pace import pairs_per_second
from tests.worlds import pairs, small_world

WORLD = small_world()


def ticking(step: float) -> Callable[[], float]:
    """A machine on which whatever is timed takes ``step`` seconds."""
    ticks = count()
    return lambda: next(ticks) * step


def bare_world() -> Dataset:
    """Interactions, and neither times nor knowledge nor items."""
    world = synthetic.generate(seed=3, num_users=60, num_items=40)
    return graphrec.read_dataset(world.interactions.drop(columns="timestamp"), seed=3)


def views(chosen: choice.Choice) -> tuple[str, ...]:
    return chosen.config.models["fused"].views


def test_with_time_for_everything_all_views_that_the_data_carry_are_taken() -> None:
    chosen = choose(WORLD, minutes=10, clock=ticking(1e-4))
    assert views(chosen) == tuple(view for view in VIEWS if view != "rp3beta") == tuple(chosen.views)
    assert chosen.config.left_out == {"rp3beta": "ease takes its place up to 5,000 items"}
    assert chosen.config.refit and chosen.expected < 10
    assert all(chosen.config.training_of(view).epochs == 200 for view in ("lightgcn", "gat", "history"))


def test_what_the_data_lack_is_named() -> None:
    chosen = choose(bare_world(), minutes=10, clock=ticking(1e-4))
    left_out = chosen.config.left_out
    assert set(left_out) == {"rp3beta", "gat", "knowledge_knn", "content", "history-sequence"}
    assert left_out["history-sequence"] == "the data has no timestamps"
    assert left_out["gat"] == "the data has no knowledge to attend to"
    assert "lightgcn" in views(chosen) and "history" in views(chosen)


def test_with_little_time_the_dear_views_are_left_out_and_one_stays() -> None:
    chosen = choose(WORLD, minutes=1, clock=ticking(1.0))
    assert "item_knn" in views(chosen) and "lightgcn" not in views(chosen)
    assert "are left for such views" in chosen.config.left_out["slim"]
    assert f"at least {MIN_EPOCHS} are worth it" in chosen.config.left_out["lightgcn"]
    assert set(views(chosen)) | set(chosen.config.left_out) == set(VIEWS)
    assert set(chosen.config.models) == {"fused", *views(chosen)}
    assert views(choose(WORLD, minutes=0.001, clock=ticking(1.0))) == ("item_knn",)


def test_epochs_fit_the_time_and_are_judged_at_least_eight_times() -> None:
    few, many = (choose(WORLD, minutes=minutes, clock=ticking(1.0)) for minutes in (15, 45))
    for chosen, minutes in ((few, 15), (many, 45)):
        assert chosen.expected <= minutes + 1 / 48  # of 48 seconds in a minute to spend, the clock ticks once more
        for view in set(views(chosen)) & {"lightgcn", "gat", "history"}:
            training = chosen.config.training_of(view)
            assert training.epochs >= MIN_EPOCHS and training.epochs >= 8 * training.eval_every
    assert many.config.training_of("lightgcn").epochs > few.config.training_of("lightgcn").epochs


def test_views_cost_what_weighing_them_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed view that takes no time to compute has to be weighed; and what trained ones share is less by theirs."""
    from graphrec.training.pace import Pace

    monkeypatch.setattr(choice, "measure", lambda *_: Pace(1.0, 0.0))
    monkeypatch.setattr(choice, "seconds_to_fit", lambda *_: 0.0)
    monkeypatch.setattr(choice, "seconds_to_fuse", lambda count, *_: 10.0 * count)
    chosen = choose(bare_world(), minutes=2, clock=lambda: 0.0)  # 96 s to spend, of which 32 for closed views
    assert views(chosen) == ("item_knn", "spectral", "ease", "lightgcn", "history")
    assert "would take about 10 s, and 2.0 s are left" in chosen.config.left_out["slim"]
    # five views leave 46 s: 23 s are 11 epochs with their refit, and what that leaves is one more for the other
    assert [chosen.config.training_of(view).epochs for view in ("lightgcn", "history")] == [11, 12]


def test_what_one_view_cannot_use_the_others_get(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphrec.training.pace import Pace

    paces = {"lightgcn": Pace(0.01, 0.0), "gat": Pace(1.0, 0.0)}
    monkeypatch.setattr(choice, "measure", lambda view, *others: paces[view])
    chosen = choose(WORLD, minutes=5, clock=lambda: 0.0, views=("lightgcn", "gat"))
    # no clock moves: 240 s are there; lightgcn needs 4 for its 200 epochs and their refit, gat gets the other 236
    assert chosen.config.view_training["lightgcn"]["epochs"] == 200
    assert chosen.config.view_training["gat"]["epochs"] == 117


def test_what_is_named_stays() -> None:
    chosen = choose(WORLD, minutes=0.01, clock=ticking(1.0), views=("slim", "gat"))
    assert views(chosen) == ("slim", "gat") and chosen.config.training_of("gat").epochs == 1
    one = choose(WORLD, {"training": {"epochs": 30}}, minutes=9, clock=ticking(1e-4), model="lightgcn", layers=1)
    assert one.config.training.epochs == 30 and one.config.view_training == {}  # what is given is the most
    assert one.config.models["lightgcn"].layers == 1 and one.config.models["lightgcn"].loss == "bpr"
    assert list(choose(WORLD, minutes=1, clock=ticking(1.0), model="item_knn").views) == ["item_knn"]


def test_options_reach_the_proposed_views() -> None:
    chosen = choose(WORLD, minutes=10, clock=ticking(1e-4), dropout=0.1, width=8, refit=False)
    assert chosen.config.models["history"].dropout == 0.1
    assert chosen.config.models["lightgcn"].width == 8 and chosen.config.models["lightgcn"].layers == 2
    assert not chosen.config.refit


@pytest.mark.parametrize(("dense", "loss", "layers"), [(0.0, "bpr", 2), (1.1, "softmax", 1)])
def test_loss_and_layers_follow_how_dense_the_data_are(
    monkeypatch: pytest.MonkeyPatch, dense: float, loss: str, layers: int
) -> None:
    monkeypatch.setattr(choice, "DENSE", dense)
    models = choose(WORLD, minutes=10, clock=ticking(1e-4)).config.models
    assert models["lightgcn"].loss == models["gat"].loss == loss
    assert (models["lightgcn"].layers, models["gat"].layers) == (layers, 2)


@pytest.mark.parametrize(("rows", "batch"), [(200_000, 1024), (200_001, 2048), (1_000_000, 2048), (1_000_001, 4096)])
def test_larger_data_have_larger_batches(monkeypatch: pytest.MonkeyPatch, rows: int, batch: int) -> None:
    """The limits are moved by as much as the world has fewer rows than the case."""
    fit_rows = int((WORLD.interactions.part == Part.FIT).sum())
    for name in ("SHORT", "LONG"):
        monkeypatch.setattr(choice, name, getattr(choice, name) + fit_rows - rows)
    assert choose(WORLD, minutes=10, clock=ticking(1e-4)).config.training.batch_size == batch
    given = choose(WORLD, {"training": {"batch_size": 64}}, minutes=10, clock=ticking(1e-4))
    assert given.config.training.batch_size == 64


def test_the_temperature_falls_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [choice.temperature_for(rows) for rows in (0, 1, 22_500, 90_000, 810_000, 10**9)]
    assert found == [0.8, 0.8, 0.6, 0.3, 0.1, 0.08]
    monkeypatch.setattr(choice, "DENSE", 1.1)
    monkeypatch.setattr(choice, "HOTTEST", 0.35)
    models = choose(WORLD, {"models": {"gat": {"temperature": 0.5}}}, minutes=10, clock=ticking(1e-4)).config.models
    assert (models["lightgcn"].temperature, models["gat"].temperature) == (0.35, 0.5)


def test_the_same_paces_give_the_same_configuration_and_it_trains() -> None:
    values: dict[str, Any] = {"training": {"epochs": 2}}
    options = {"minutes": 10, "width": 8, "heads": 1}
    first, second = (choose(WORLD, values, clock=ticking(1e-4), **options) for _ in range(2))
    assert first == second
    # two epochs at most are fewer than ten: views without gradients are all that is left
    assert set(views(first)) == {"item_knn", "spectral", "ease", "popularity", "knowledge_knn", "slim"}
    assert fit_model(WORLD, first.config).valid


def test_what_cannot_be_is_refused() -> None:
    for minutes in (0, -1, float("nan")):
        with pytest.raises(UsageError, match="minutes must be > 0"):
            choose(WORLD, minutes=minutes)
    with pytest.raises(DataError, match="no timestamps"):
        choose(bare_world(), minutes=1, model="history", pooling="sequence")
    with pytest.raises(UsageError, match="no option 'dropuot'"):
        choose(WORLD, minutes=1, dropuot=0.1)
    with pytest.raises(UsageError, match="each trained alone, not with fuse joint"):
        choose(WORLD, minutes=1, views=("lightgcn", "gat"), fuse="joint")


def test_the_speed_of_a_machine() -> None:
    """Users of 1 and 2 items: 1 + 4 pairs; in a second where the clock ticks once."""
    assert pairs_per_second(pairs([(0, 0), (1, 0), (1, 1)], 2, 2), ticking(1.0)) == 5
    assert pairs_per_second(pairs([], 2, 2), ticking(1.0)) > 0
