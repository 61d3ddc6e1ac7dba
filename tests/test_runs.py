"""The run folder: foreign, unfinished, newer and damaged ones are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import graphrec
from graphrec.comparison import evaluate_runs
from graphrec.config import make_config
from graphrec.errors import RunError
from graphrec.graph import DeferredGraph
from graphrec.models import EmbeddingModel
from graphrec.runs import load_run, start_run
from graphrec.runs.stored import digests
from graphrec.training import inference
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
        "model/vectors/lightgcn.npy",
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


@pytest.mark.parametrize(
    "file",
    ["model/weights.safetensors", "model/vectors/lightgcn.npy", "config.toml", "metrics.json", "ids/items.parquet"],
)
def test_a_damaged_file_is_named(run: Path, file: str) -> None:
    (run / file).write_bytes(b"\x00 no longer what it was")
    with pytest.raises((RunError, graphrec.GraphrecError), match="run"):
        load_run(run)


def test_final_vectors_are_kept_and_no_edge_is_made(run: Path) -> None:
    loaded = load_run(run)
    assert isinstance(loaded.model, EmbeddingModel) and isinstance(loaded.model.graph, DeferredGraph)
    kept = np.load(run / "model" / "vectors" / "lightgcn.npy")
    assert kept.dtype == np.float32 and kept.shape == (WORLD.num_users + WORLD.num_items, 8)
    assert np.array_equal(loaded.model.user_vectors().numpy(), kept[: WORLD.num_users])
    assert np.array_equal(loaded.model.item_vectors().numpy(), kept[WORLD.num_users :])
    loaded.model.score_block(torch.arange(3))
    assert not loaded.model.graph.is_made
    loaded.model.eval()  # forgets what was kept
    propagated = loaded.model.user_vectors().detach().numpy()
    assert loaded.model.graph.is_made and np.allclose(propagated, kept[: WORLD.num_users], atol=1e-6)


@pytest.mark.parametrize("model", ["lightgcn", "gat", "fused"])
def test_scores_are_the_same_to_the_bit_after_loading(model: str, tmp_path: Path) -> None:
    trained = graphrec.train(WORLD, model, epochs=2, width=8, batch_size=128)
    before = trained.model.score_block(torch.arange(WORLD.num_users))
    trained.save(tmp_path / "run")
    again = graphrec.load(tmp_path / "run")
    assert torch.equal(again.model.score_block(torch.arange(WORLD.num_users)), before)
    again.save(tmp_path / "copy")
    copies = [path.relative_to(tmp_path / "run") for path in (tmp_path / "run" / "model").rglob("*.*")]
    assert all((tmp_path / "run" / path).read_bytes() == (tmp_path / "copy" / path).read_bytes() for path in copies)
    assert len(copies) == 2 + {"lightgcn": 1, "gat": 1, "fused": 2}[model]


@pytest.mark.parametrize("model", ["gat", "fused", "item_knn"])
def test_one_seed_gives_one_run(model: str, tmp_path: Path) -> None:
    """To the byte; another seed gives another, where anything is drawn."""
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        options = {} if model == "item_knn" else {"epochs": 2, "width": 8, "batch_size": 128}
        graphrec.train(WORLD, model, seed=seed, **options).save(tmp_path / name)
    first, again, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "model").rglob("*.*")}
        for name in ("first", "again", "other")
    )
    assert first == again and len(first) >= 2
    assert (first == other) == (model == "item_knn")


def test_vectors_of_a_large_graph_are_inferred_where_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = graphrec.train(WORLD, "gat", epochs=1, width=8, heads=2, batch_size=128)
    expected = trained.model.eval().score_block(torch.arange(5)).detach()
    trained.model.eval()
    monkeypatch.setattr(inference, "LARGE", 1)
    trained.save(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "model" / "vectors").iterdir()] == ["gat.npy"]
    torch.testing.assert_close(graphrec.load(tmp_path / "run").model.score_block(torch.arange(5)), expected)


@pytest.mark.parametrize("change", ["missing", "cut", "other shape"])
def test_a_damaged_vectors_file_is_named(run: Path, change: str) -> None:
    path = run / "model" / "vectors" / "lightgcn.npy"
    if change == "missing":
        path.unlink()
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        np.save(path, np.zeros((2, 8), np.float32))
    with pytest.raises(RunError, match=r"damaged: .*lightgcn\.npy"):
        load_run(run)


def test_vectors_must_be_those_of_the_model(run: Path) -> None:
    path, described = run / "model" / "vectors" / "lightgcn.npy", run / "model" / "model.json"
    vectors, description = np.load(path), json.loads(described.read_text())
    assert {name: description[name] for name in ("format", "model", "vectors")} == {
        "format": 2,
        "model": "lightgcn",
        "vectors": {"lightgcn": [100, 8]},
    }

    def describe(shape: list[int]) -> None:
        changed = {"vectors": {"lightgcn": shape}, "sha256": digests(run)}
        described.write_text(json.dumps(description | changed))

    for shape in ([100, 4], [99, 8]):
        np.save(path, vectors[: shape[0], : shape[1]])
        describe(shape)
        with pytest.raises(RunError, match=r"damaged: .*lightgcn\.npy: holds float32 .*, not float32 \[100, 8\]"):
            load_run(run)
    np.save(path, vectors)
    describe([99, 8])
    with pytest.raises(RunError, match=r"damaged: .*lightgcn\.npy: model\.json says \[99, 8\] of it, not \[100, 8\]"):
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
