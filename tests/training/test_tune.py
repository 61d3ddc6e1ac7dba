"""Searching settings: what is searched stands beside the setting, the given ones come first, and a search goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphrec.config import TrainingConfig, make_config, parse_config, read_config, write_config
from graphrec.data import Part
from graphrec.errors import DataError, MissingExtraError, RunError, TrainingError, UsageError
from graphrec.models import MODELS
from graphrec.models.base import Range, ranges_of
from graphrec.training import Attempt, Tuned, check_search, fit_model, held_by, tune
from graphrec.training.tuning import JOURNAL, search_space
from graphrec.training.tuning.space import changed, only
from graphrec.training.tuning.study import MAX_TRIALS, OutOfTime, ViewStudy, open_journal
from tests.worlds import small_world

WORLD = small_world()
KNN = make_config("item_knn", seed=1)
QUICK = {"epochs": 3, "width": 8, "batch_size": 128, "eval_every": 1}


def ticking(step: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by ``step`` seconds whenever somebody looks at it."""
    ticks = count()
    return lambda: next(ticks) * step


def search(config: Any = KNN, seconds: float = 5, **options: Any) -> Tuned:
    """A search in which a trial without evaluations on the way takes a second."""
    return tune(WORLD, config, minutes=seconds / 60, **{"clock": ticking()} | options)


def inside(values: Range, value: Any) -> bool:
    return value in values.choices if values.choices else values.low <= value <= values.high


@pytest.mark.parametrize("name", MODELS)
def test_what_is_searched_holds_the_default_and_nothing_that_breaks_a_rule(name: str) -> None:
    settings = MODELS[name].Settings
    defaults = {field.name: field.default for field in fields(settings)}
    for field, values in ranges_of(settings).items():
        assert inside(values, defaults[field]), field
        for value in values.choices or (values.low, values.high):
            settings(**{field: value})


def test_the_learning_rate_is_searched_for_what_is_trained() -> None:
    (rates,) = (found for found in TrainingConfig.model_fields["learning_rate"].metadata if isinstance(found, Range))
    assert inside(rates, TrainingConfig().learning_rate)
    assert search_space(make_config("lightgcn"))["lightgcn"]["learning_rate"] == rates
    assert "learning_rate" not in search_space(KNN)["item_knn"]


def test_views_without_gradients_come_first_and_the_fusion_last() -> None:
    config = make_config("fused", views=("lightgcn", "item_knn", "popularity", "lightgcn-b"))
    assert list(search_space(config)) == ["item_knn", "popularity", "lightgcn", "lightgcn-b", "fused"]


def test_what_is_given_is_held() -> None:
    given = {
        "models": {"gat": {"layers": 2}},
        "training": {"learning_rate": 0.1},
        "view_training": {"gat": {"epochs": 3}},
    }
    assert held_by(given) == ["gat.layers", "training.learning_rate", "gat.epochs"]
    space = search_space(make_config("gat"), held_by(given))["gat"]
    assert "layers" not in space and "learning_rate" not in space and "temperature" in space


def test_without_times_there_is_no_recency_to_search() -> None:
    untimed = replace(WORLD, interactions=replace(WORLD.interactions, timestamp=None))
    searched = [tune(data, KNN, minutes=0.02, clock=ticking()).searches[0] for data in (WORLD, untimed)]
    assert ["recency" in search.settings for search in searched] == [True, False]


def test_the_first_trial_is_what_was_given_and_the_best_is_never_behind_it() -> None:
    attempts: list[Attempt] = []
    found = search(on_trial=attempts.append)
    (one,) = found.searches
    given = {name: getattr(KNN.models["item_knn"], name) for name in one.settings}
    assert attempts[0].settings == given and attempts[0].number == 0
    assert len(attempts) == one.trials == 4  # one more would end with the time, and none begins that could be late
    assert one.given_recall == attempts[0].recall and one.recall == max(attempt.recall or 0 for attempt in attempts)
    assert {name: getattr(found.config.models["item_knn"], name) for name in one.settings} == one.settings
    assert fit_model(WORLD, found.config).valid["recall@20"] == pytest.approx(one.recall)


def test_a_search_repeats_and_goes_on_to_the_same_end(tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    first = search(folder=tmp_path / "whole", seconds=12)

    def stop(attempt: Attempt) -> None:
        if attempt.number == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(folder=stopped, seconds=12, on_trial=stop)
    later: list[Attempt] = []
    assert search(folder=stopped, seconds=12, on_trial=later.append) == first
    assert [attempt.number for attempt in later] == [10]
    with (stopped / JOURNAL).open("a") as journal:
        journal.write('{"a line that a crash has')
    assert search(folder=stopped, seconds=12) == first == search(seconds=12)


def test_an_interrupted_trial_is_tried_again(tmp_path: Path) -> None:
    space = search_space(KNN)["item_knn"]
    given = {name: getattr(KNN.models["item_knn"], name) for name in space}

    def stopped(settings: dict[str, Any], report: Any) -> float:
        raise KeyboardInterrupt

    study = ViewStudy(open_journal(tmp_path / JOURNAL), "item_knn", space, given, 0)
    with pytest.raises(KeyboardInterrupt):
        study.run(stopped, ticking(), 9)
    again = ViewStudy(open_journal(tmp_path / JOURNAL), "item_knn", space, given, 0)
    assert again.run(lambda settings, report: 0.5, ticking(), 9).settings == given
    assert len(again.attempts()) == 1


def test_trials_are_broken_off_cut_off_and_failed() -> None:
    space = {"balance": Range(0.2, 0.7)}
    study = ViewStudy(open_journal(None), "item_knn", space, {"balance": 0.4}, 0)

    def rising(top: float) -> Any:
        def judge(settings: dict[str, Any], report: Any) -> float:
            for epoch in range(1, 6):
                report(epoch, top * epoch / 5)
            return top

        return judge

    def failing(settings: dict[str, Any], report: Any) -> float:
        raise TrainingError("the loss became nan")

    for top in (0.5, 0.6, 0.7, 0.8):
        assert study.run(rising(top), ticking(), 100).state == "complete"
    poor = study.run(rising(0.1), ticking(), 100)
    assert (poor.state, poor.recall) == ("pruned", pytest.approx(0.06))  # the best of its three evaluations
    late = study.run(rising(1.0), ticking(), 2)
    assert (late.state, late.recall) == ("complete", 0.4)  # what it had reached after two
    failed = study.run(failing, ticking(), 100)
    assert (failed.state, failed.recall, failed.why) == ("failed", None, "the loss became nan")
    assert issubclass(OutOfTime, Exception)


def test_the_same_settings_are_not_fitted_twice() -> None:
    calls: list[dict[str, Any]] = []

    def judge(settings: dict[str, Any], report: Any) -> float:
        calls.append(settings)
        return 0.5

    study = ViewStudy(open_journal(None), "v", {"flag": Range(choices=(False, True))}, {"flag": True}, 0)
    for _ in range(6):
        assert study.run(judge, ticking(), 9).recall == 0.5
    assert len(calls) == 2


def test_there_is_an_end_where_trials_cost_nothing() -> None:
    (one,) = search(seconds=5, clock=lambda: 0.0).searches
    assert one.trials == MAX_TRIALS


def test_a_fusion_is_searched_view_by_view_and_trained_on_from_there(tmp_path: Path) -> None:
    config = make_config("fused", views=("lightgcn", "item_knn"), seed=1, **QUICK)
    found = search(config, seconds=30, folder=tmp_path, held=["item_knn.neighbours"])
    by_view = {one.view: one for one in found.searches}
    assert list(by_view) == ["item_knn", "lightgcn", "fused"]
    assert sum(one.seconds for one in found.searches) <= 30
    assert "neighbours" not in by_view["item_knn"].settings and "fusion_l2" in by_view["fused"].settings
    assert found.config.training_of("lightgcn").learning_rate == by_view["lightgcn"].settings["learning_rate"]
    epochs: list[Any] = []
    fitted = fit_model(WORLD, found.config, checkpoints=tmp_path, on_epoch=epochs.append)
    assert epochs == []  # the views are trained already
    assert fitted.valid["recall@20"] == pytest.approx(by_view["fused"].recall)
    write_config(found.config, tmp_path / "found.toml")
    assert read_config(tmp_path / "found.toml") == found.config


def test_test_rows_are_not_read() -> None:
    other = small_world()
    test = other.interactions.part == Part.TEST
    other.interactions.item[test] = np.roll(other.interactions.item[test], 1)
    assert tune(other, KNN, minutes=0.1, clock=ticking()) == search(seconds=6)


def test_searches_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for minutes in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="tune must be > 0 minutes"):
            search(seconds=60 * minutes)
    with pytest.raises(UsageError, match="all that can be searched is given"):
        check_search(make_config("knowledge_knn"), 1, ["knowledge_knn.neighbours", "knowledge_knn.recency"])
    with pytest.raises(UsageError, match="warm_start"):
        check_search(make_config("gat", warm_start="runs/old"), 1)
    with pytest.raises(UsageError, match="each view alone, and fuse joint does not"):
        check_search(make_config("fused", views=("lightgcn", "gat"), fuse="joint"), 1)
    for text in ("no journal\n", '{"neither": 1}\n'):
        (tmp_path / JOURNAL).write_text(text)
        with pytest.raises(RunError, match="is no journal of a search"):
            search(folder=tmp_path)


def test_without_select_rows_there_is_nothing_to_judge_by() -> None:
    other = small_world()
    other.interactions.part[other.interactions.part == Part.SELECT] = Part.FIT
    with pytest.raises(DataError, match="no select rows"):
        tune(other, KNN, minutes=1)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"graphrec\[tune\]"):
        search()


def test_a_view_is_changed_and_taken_alone() -> None:
    config = make_config("fused", views=("gat", "item_knn"))
    other = changed(config, "gat", {"layers": 1, "learning_rate": 0.02})
    assert (
        other.view_training == {"gat": {"learning_rate": 0.02}}
        and other.models["item_knn"] == config.models["item_knn"]
    )
    alone = only(other, "gat")
    assert list(alone.models) == ["fused", "gat"] and alone.training_of("gat").learning_rate == 0.02
    assert only(other, "item_knn").view_training == {}
    with pytest.raises(UsageError, match="layers must be"):
        changed(config, "gat", {"layers": 0})


def test_views_may_be_trained_each_in_its_own_way() -> None:
    values = {"model": "fused", "models": {"fused": {"views": ["lightgcn", "lightgcn-b"]}}, "training": {"epochs": 3}}
    config = parse_config(values | {"view_training": {"lightgcn-b": {"epochs": 1}}})
    assert fit_model(WORLD, config).history.groupby("model").size().to_dict() == {"lightgcn": 3, "lightgcn-b": 1}
    for wrong, message in (
        ({"gat": {"epochs": 1}}, "view_training of gat, which model fused does not use"),
        ({"lightgcn": {"sampling": "neighbor"}}, "view_training of lightgcn has sampling"),
        ({"lightgcn": {"epochs": 0}}, "greater than or equal to 1"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_config(values | {"view_training": wrong})
