"""The run folder: foreign, unfinished, newer and damaged ones are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import graphrec
from graphrec.comparison import evaluate_runs
from graphrec.config import make_config
from graphrec.errors import RunError
from graphrec.runs import load_run, start_run
from tests.worlds import small_world

WORLD = small_world()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    graphrec.train(WORLD, "lightgcn", epochs=2, width=8, batch_size=128).save(tmp_path / "run")
    return tmp_path / "run"


def test_what_a_run_folder_holds(run: Path) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        "config.toml",
        "environment.json",
        "history.csv",
        "ids/items.parquet",
        "ids/users.parquet",
        "metrics.json",
        "model/model.json",
        "model/weights.safetensors",
    } <= names


def test_no_folder_a_foreign_one_and_an_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder at"):
        load_run(tmp_path / "absent")
    (tmp_path / "photos").mkdir()
    with pytest.raises(RunError, match="is not a run folder"):
        load_run(tmp_path / "photos")
    start_run(tmp_path / "begun", WORLD, make_config("gat"))
    with pytest.raises(RunError, match=r"unfinished run\ngo on with: graphrec train --resume --out .*begun"):
        load_run(tmp_path / "begun")


@pytest.mark.parametrize("file", ["model/weights.safetensors", "config.toml", "metrics.json", "ids/items.parquet"])
def test_a_damaged_file_is_named(run: Path, file: str) -> None:
    (run / file).write_bytes(b"\x00 no longer what it was")
    with pytest.raises((RunError, graphrec.GraphrecError), match="run"):
        load_run(run)


def test_a_newer_run_is_refused(run: Path) -> None:
    path = run / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(RunError, match="newer graphrec"):
        load_run(run)


def test_judging_runs_writes_what_it_found(run: Path, tmp_path: Path) -> None:
    graphrec.train(WORLD, "popularity", refit=True).save(tmp_path / "popular")
    found = evaluate_runs([run, tmp_path / "popular"], ks=(20,))
    assert [entry["run"] for entry in found["runs"]] == [str(run), str(tmp_path / "popular")]
    assert found["runs"][1]["test"] == pytest.approx(found["runs"][1]["baselines"]["popularity"])
    pairs = {(row["a"], row["b"]) for row in found["paired"]}
    assert (str(run), str(tmp_path / "popular")) in pairs and (str(run), "item_knn") in pairs
    stored = json.loads((run / "metrics.json").read_text())
    assert stored["test"] == found["runs"][0]["test"]
    assert set(stored["baselines"]) == {"popularity", "item_knn"}
    assert (run / "per_user.parquet").exists()
    evaluate_runs([run], ks=(20,))
    assert len((run / "test_reads.jsonl").read_text().splitlines()) == 2
