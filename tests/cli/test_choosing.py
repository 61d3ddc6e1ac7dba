"""train --minutes and train --tune: what is written, said, resumed and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from graphrec import training
from graphrec.config import read_config
from graphrec.training import Attempt
from tests.cli.calling import Call
from tests.test_report import check

KNN = ("--model=item_knn", "--seed=1")


def ticking(step: float) -> Callable[[], float]:
    ticks = count()
    return lambda: next(ticks) * step


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that go on when they are looked at, so that nothing here depends on the machine."""
    tune, choose = training.tune, training.choose
    monkeypatch.setattr(training, "tune", lambda *args, **kw: tune(*args, **{"clock": ticking(1.0)} | kw))
    monkeypatch.setattr(training, "choose", lambda *args, **kw: choose(*args, **{"clock": ticking(1.0)} | kw))


def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def test_a_search_is_written_told_and_shown(call: Call, graph: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = call("train", graph, *KNN, "--shrink=3", "--tune=0.1", "--out", run)
    assert done.status == 0, done.err
    assert "item_knn trial 0 recall@20 " in done.err and "which --config takes" in done.err
    (search,) = metrics(run)["tuning"]["searches"]
    config = read_config(run / "config.toml")
    assert config.models["item_knn"].shrink == 3 and "shrink" not in search["settings"]
    assert {name: getattr(config.models["item_knn"], name) for name in search["settings"]} == search["settings"]
    page, checker = check(run / "report.html")
    assert "Search" in checker.headings and "What each search found" in page
    assert metrics(run)["valid"]["recall@20"] == pytest.approx(search["recall"])
    again = call("train", graph, "--config", run / "config.toml", "--out", tmp_path / "again")
    assert again.status == 0 and "trial" not in again.err
    assert metrics(tmp_path / "again")["valid"] == metrics(run)["valid"]


def test_a_search_goes_on_and_then_training(
    call: Call, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    tune = training.tune

    def interrupted(*args: Any, on_trial: Callable[[Attempt], None], **others: Any) -> Any:
        def stop(attempt: Attempt) -> None:
            on_trial(attempt)
            if attempt.number == 1:
                raise KeyboardInterrupt

        return tune(*args, on_trial=stop, **others)

    begun = ("train", graph, *KNN, "--tune=0.1")
    with monkeypatch.context() as patch:
        patch.setattr(training, "tune", interrupted)
        done = call(*begun, "--out", stopped)
    assert done.status == 130 and f"go on with: graphrec train --resume --out {stopped}" in done.err
    for wrong, message in (
        (("--tune=5",), "tune is 0.1, not 5"),
        (("--minutes=5",), "minutes is not given, not 5"),
        (("--neighbours=7",), "neighbours is not given, not 7"),
    ):
        refused = call("train", *wrong, "--resume", "--out", stopped)
        assert refused.status == 2 and message in refused.err.replace("0.1000", "0.1").replace("5.0000", "5")
    resumed = call("train", *KNN, "--tune=0.1", "--resume", "--out", stopped)
    assert resumed.status == 0, resumed.err
    assert "trial 2" in resumed.err and "trial 1 " not in resumed.err
    assert call(*begun, "--out", whole).status == 0
    for name in ("config.toml", "metrics.json", "model/weights.safetensors"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name


def test_a_run_for_a_time(call: Call, graph: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = call("train", graph, "--minutes=1", "--seed=1", "--out", run)
    assert done.status == 0, done.err
    assert "item_knn: computed in about" in done.err and "lightgcn is left out: there is time for" in done.err
    config, choice = read_config(run / "config.toml"), metrics(run)["choice"]
    assert config.refit and set(choice["views"]) == set(config.models["fused"].views)
    page, checker = check(run / "report.html")
    assert "Choice" in checker.headings and "there is time for" in page
    assert call("train", "--minutes=1", "--resume", "--out", run).status == 0
    other = call("train", "--minutes=2", "--resume", "--out", run)
    assert other.status == 2 and "minutes is 1" in other.err


def test_epochs_alone_are_chosen_for_a_named_model(call: Call, graph: Path, tmp_path: Path) -> None:
    options = ("--model=lightgcn", "--width=8", "--minutes=2", "--no-refit")
    assert call("train", graph, *options, "--out", tmp_path / "run").status == 0
    config = read_config(tmp_path / "run" / "config.toml")
    assert config.model == "lightgcn" and 1 < config.training.epochs < 200 and not config.refit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--minutes=0",), "--minutes must be > 0 minutes, got 0"),
        (("--tune=-3",), "--tune must be > 0 minutes, got -3"),
        (("--tune=nan",), "--tune must be > 0 minutes, got nan"),
        (("--minutes=5", "--tune=5"), "--minutes chooses by rules and --tune by search"),
        (
            ("--model=knowledge_knn", "--neighbours=5", "--recency=0", "--tune=5"),
            "nothing to search: all that can be searched is given",
        ),
        (("--minutes=5", "--dropuot=1"), "No such option"),
        (("--minutes=5", "--device=cuda:7"), "cuda:7"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    call: Call, graph: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = call("train", graph, *options, "--out", tmp_path / "run")
    assert done.status == 2
    assert message in " ".join(done.err.split())
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_search_does_not_go_on_with_one(call: Call, run: Path) -> None:
    for option in ("--tune=5", "--minutes=5"):
        done = call("train", option, "--resume", "--out", run)
        assert done.status == 2 and "is not given" in done.err
