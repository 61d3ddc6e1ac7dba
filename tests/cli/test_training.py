"""train: configurations, run folders, and going on after Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from graphrec.cli.settings import Settled
from graphrec.cli.training import OWN, train
from graphrec.config import RunConfig, TrainingConfig, read_config
from graphrec.models import MODELS
from tests.cli.calling import QUICK, Call

TIMES = ["seconds", "pairs_per_second"]


def test_every_field_of_the_configuration_has_an_option() -> None:
    known = {*RunConfig.model_fields, *TrainingConfig.model_fields} - {
        "training",
        "models",
        "left_out",
        "view_training",
    }
    assert set(train.__annotations__) - {*OWN, "ctx", "return"} == known


def test_settings_of_the_models_are_options_without_being_written_twice(
    call: Call, graph: Path, tmp_path: Path
) -> None:
    command = Settled("train", callback=lambda: None)
    options = {option.name for option in command.get_params(command.make_context("train", []))}
    assert options >= {field.name for model in MODELS.values() for field in fields(model.Settings)}
    given = ("--heads", "2", "--no-knowledge", "--l2", "0.5")
    assert call("train", graph, "--model=gat", *QUICK, *given, "--out", tmp_path / "run").status == 0
    written = read_config(tmp_path / "run" / "config.toml").models["gat"]
    assert (written.heads, written.knowledge, written.l2) == (2, False, 0.5)


def test_a_run_folder(call: Call, run: Path) -> None:
    for name in ("config.toml", "metrics.json", "history.csv", "model", "ids", "checkpoints", "report.html"):
        assert (run / name).exists(), name
    assert "recall@20" in json.loads((run / "metrics.json").read_text())["valid"]


def test_progress_is_a_line_an_epoch_on_stderr(call: Call, graph: Path, tmp_path: Path) -> None:
    done = call("train", graph, "--model=lightgcn", *QUICK, "--out", tmp_path / "run")
    assert done.status == 0
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.startswith("lightgcn select epoch ")]
    assert len(lines) == 3
    assert lines[0].startswith("lightgcn select epoch 1/3 loss ")
    assert " recall@20 " in lines[2]
    assert lines[0].endswith(" left")
    assert f"next: graphrec evaluate {tmp_path / 'run'}" in done.err


def test_a_model_without_gradients(call: Call, graph: Path, tmp_path: Path) -> None:
    done = call("train", graph, "--model=item_knn", "--neighbours=5", "--out", tmp_path / "run")
    assert done.status == 0
    assert read_config(tmp_path / "run" / "config.toml").models["item_knn"].neighbours == 5


def test_a_fusion(call: Call, graph: Path, tmp_path: Path) -> None:
    done = call("train", graph, "--views=lightgcn,item_knn", "--refit", *QUICK, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert "fusion: " in done.err
    assert "lightgcn refit epoch 1/" in done.err


def test_options_come_before_the_configuration_file(call: Call, graph: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 4\n[training]\nepochs = 2\npatience = 1\n[models.lightgcn]\nwidth = 4\n")
    done = call("train", graph, "--config", file, "--model=lightgcn", "--epochs=1", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    config = read_config(tmp_path / "run" / "config.toml")
    assert (config.model, config.seed, config.training.epochs, config.training.patience) == ("lightgcn", 4, 1, 1)
    assert config.models["lightgcn"].width == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model=lightgnc",), "did you mean lightgcn"),
        (("--model=lightgcn", "--heads=2"), "model lightgcn has no option 'heads'"),
        (("--model=gat", "--epochs=0"), "training.epochs"),
        (("--model=gat", "--width=10"), "heads must be a divisor of width 10"),
        (("--model=gat", "--device=cuda:7"), "cuda:7"),
        (("--config=absent.toml",), "absent.toml"),
        (("--views=lightgcn,,gat",), "--views"),
    ],
)
def test_wrong_options_exit_with_2_and_leave_no_folder(
    call: Call, graph: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = call("train", graph, *options, "--out", tmp_path / "run")
    assert done.status == 2
    assert message in done.err
    assert not (tmp_path / "run").exists()


def test_what_is_no_graph_folder(call: Call, tables: Path, tmp_path: Path) -> None:
    assert call("train", "--out", tmp_path / "run").status == 2
    for wrong in (tables, tmp_path / "absent", tables / "interactions.csv"):
        done = call("train", wrong, "--out", tmp_path / "run")
        assert done.status == 1
        assert "graphrec build" in done.err


def test_a_folder_in_use_is_refused(call: Call, graph: Path, run: Path) -> None:
    done = call("train", graph, "--model=gat", "--out", run)
    assert done.status == 1
    assert "--resume" in done.err


def test_a_finished_run_is_not_trained_again(call: Call, graph: Path, run: Path) -> None:
    before = (run / "model" / "weights.safetensors").stat().st_mtime_ns
    for arguments in ((), (graph,), ("--model=gat", "--epochs=3")):
        done = call("train", *arguments, "--resume", "--out", run)
        assert done.status == 0, done.err
        assert "is finished" in done.err
    assert (run / "model" / "weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["models = 3", "training = 1", '[models.lightgcn]\nwidth = "8"', "seed = -1", "= 3"])
def test_a_wrong_configuration_file_exits_with_2(call: Call, graph: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    done = call("train", graph, "--model=lightgcn", "--config", tmp_path / "mine.toml", "--out", tmp_path / "run")
    assert done.status == 2
    assert "unexpected" not in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs=9",), "training · epochs is 3, not 9"),
        (("--model=lightgcn",), "model is gat, not lightgcn"),
        (("--seed=2", "--width=16"), "models · gat · width is 8, not 16; seed is 1, not 2"),
    ],
)
def test_resuming_with_other_options_is_refused(call: Call, run: Path, options: tuple[str, ...], message: str) -> None:
    done = call("train", *options, "--resume", "--out", run)
    assert done.status == 2
    assert message in done.err


def test_resuming_on_other_data_is_refused(call: Call, tables: Path, run: Path, tmp_path: Path) -> None:
    assert call("build", tables / "interactions.csv", "--out", tmp_path / "graph").status == 0
    assert call("train", tmp_path / "graph", "--resume", "--out", run).status == 2


def test_resuming_what_was_never_begun(call: Call, tmp_path: Path) -> None:
    assert call("train", "--resume", "--out", tmp_path / "run").status == 1


def test_ctrl_c_and_resume_end_as_if_nothing_had_happened(call: Call, graph: Path, tmp_path: Path) -> None:
    options = ("--model=lightgcn", "--width=8", "--epochs=200", "--patience=0")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    command = ["-c", "from graphrec.cli import main; main()", "train", str(graph), *options, "--out", str(stopped)]
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 3/200" in line:
                break
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait(timeout=60) == 130
    assert last == f"graphrec: GR001 stopped; go on with: graphrec train --resume --out {stopped}"
    unfinished = call("recommend", stopped, "--user=alice")
    assert unfinished.status == 1
    assert "--resume" in unfinished.err
    assert call("train", graph, *options, "--out", whole).status == 0
    resumed = call("train", "--resume", "--out", stopped)
    assert resumed.status == 0
    assert "epoch 200/200" in resumed.err
    assert "epoch 3/200" not in resumed.err
    for name in ("model/weights.safetensors", "metrics.json", "config.toml"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    histories = [pd.read_csv(folder / "history.csv").drop(columns=TIMES) for folder in (whole, stopped)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


def test_a_fan_out_that_does_not_fit_leaves_no_folder(call: Call, graph: Path, tmp_path: Path) -> None:
    sampled = ("train", graph, "--model=gat", "--sampling=neighbor", "--out", tmp_path / "run")
    for options, message in (
        (("--fanout=5,5", "--layers=3"), "the fan-out has 2 hops, gat has 3 layers"),
        (("--fanout=interact=5,5",), "fan-out 'interact' names no kind of edge"),
    ):
        refused = call(*sampled, *options)
        assert refused.status == 2 and message in refused.err
        assert not (tmp_path / "run").exists()
    assert call(*sampled, "--fanout=5,5", "--epochs=1", "--width=8", "--heads=2").status == 0


def test_extending_and_starting_from_a_run(call: Call, graph: Path, tmp_path: Path) -> None:
    options = ("--model=lightgcn", "--width=8", "--epochs=2")
    assert call("train", graph, *options, "--refit", "--out", tmp_path / "old").status == 0
    warm = call("train", graph, *options, f"--warm-start={tmp_path / 'old'}", "--out", tmp_path / "warm")
    assert warm.status == 0 and "the earlier run was trained on" in warm.err and "select rows" in warm.err
    extended = call("extend", tmp_path / "old", graph, "--out", tmp_path / "extended")
    assert extended.status == 0 and "users: 60, of them 0 new" in extended.err
    again = call("extend", tmp_path / "old", graph, "--out", tmp_path / "extended")
    assert again.status == 1 and "is not empty" in again.err
    lists = [call("recommend", tmp_path / run, "--user=alice", "--json").out for run in ("old", "extended")]
    assert lists[0] == lists[1]
