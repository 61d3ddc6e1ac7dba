"""Vectors for use elsewhere: every format gives back the model's own, with the ids beside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import graphrec
from graphrec.errors import MissingExtraError, OccupiedError, OutputError, UsageError
from graphrec.recommender import ann, export
from tests.worlds import small_world

WORLD = small_world()
QUICK = {"epochs": 2, "width": 8, "batch_size": 128, "seed": 1}


@pytest.fixture(scope="module")
def recommender() -> graphrec.Recommender:
    return graphrec.train(WORLD, "lightgcn", **QUICK)


def expected(recommender: graphrec.Recommender, kind: str) -> np.ndarray:
    return getattr(recommender.model, f"{kind[:-1]}_vectors")().numpy()


def ids(kind: str) -> list[str]:
    return getattr(WORLD, kind).array.to_pylist()


def test_parquet(recommender: graphrec.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 16)
    (note,) = recommender.export(tmp_path / "out")
    for kind in ("users", "items"):
        table = pq.read_table(tmp_path / "out" / f"{kind}.parquet")
        assert table["id"].to_pylist() == ids(kind)
        vectors = np.stack(table["vector"].to_numpy())
        assert vectors.dtype == np.float32 and np.array_equal(vectors, expected(recommender, kind))
    assert pq.ParquetFile(tmp_path / "out" / "users.parquet").num_row_groups == 4
    assert json.loads((tmp_path / "out" / "vectors.json").read_text()) == note
    assert note == {
        "view": "lightgcn",
        "format": "parquet",
        "width": 8,
        "score": "inner product",
        "users": 60,
        "items": 40,
    }


@pytest.mark.parametrize("format", ["parquet", "npy", "faiss"])
def test_without_history_nothing_of_the_users_is_written(
    recommender: graphrec.Recommender, tmp_path: Path, format: str
) -> None:
    if format == "faiss":
        pytest.importorskip("faiss")
    (note,) = recommender.export(tmp_path / "out", format, history=False)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    ids_beside = {"items_ids.parquet", f"items.{format}"}
    assert names == {"vectors.json"} | ({"items.parquet"} if format == "parquet" else ids_beside)
    assert "users" not in note and note["items"] == 40
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert not any(name.encode() in content for name in ids("users"))


def test_npy(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    recommender.export(tmp_path, "npy")
    for kind in ("users", "items"):
        assert np.array_equal(np.load(tmp_path / f"{kind}.npy"), expected(recommender, kind))
        assert pq.read_table(tmp_path / f"{kind}_ids.parquet")["id"].to_pylist() == ids(kind)
    assert len(list(tmp_path.iterdir())) == 5


def test_faiss(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    (note,) = recommender.export(tmp_path / "out", "faiss")
    assert (note["index"], note["recall@20"], note["sample"]) == ("IndexFlatIP", 1.0, 60)
    index = faiss.read_index(str(tmp_path / "out" / "items.faiss"))
    users = np.load(tmp_path / "out" / "users.npy")
    scores, found = index.search(users[:3], 5)
    best = recommender.recommend(ids("users")[:3], k=5, filter_seen=False)
    names = np.array(pq.read_table(tmp_path / "out" / "items_ids.parquet")["id"].to_pylist())
    assert names[found].reshape(-1).tolist() == best.item_id.tolist()
    assert np.allclose(scores.reshape(-1), best.score, atol=1e-5)


def test_many_items_get_a_graph_of_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(ann, "EXACT_ITEMS", 100)
    generator = torch.Generator().manual_seed(2)
    users, items = torch.randn(50, 8, generator=generator), torch.randn(2000, 8, generator=generator)
    _, facts = ann.item_index(users, items)
    assert facts["index"] == "IndexHNSWFlat" and 0.9 < facts["recall@20"] <= 1
    assert ann.item_index(users[:0], items[:10])[1] == {"index": "IndexFlatIP", "recall@20": None, "sample": 0}


def test_views_of_a_fusion(tmp_path: Path) -> None:
    fused = graphrec.train(WORLD, "fused", heads=2, **QUICK)
    notes = fused.export(tmp_path / "both", "npy")
    assert [note["view"] for note in notes] == ["lightgcn", "gat"]
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["gat", "lightgcn"]
    fused.export(tmp_path / "one", "npy", view="gat")
    assert (tmp_path / "one" / "items.npy").read_bytes() == (tmp_path / "both" / "gat" / "items.npy").read_bytes()
    with pytest.raises(UsageError, match="has no view 'gta' with vectors\ndid you mean gat"):
        fused.export(tmp_path / "none", view="gta")


def test_bad_calls(recommender: graphrec.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown format 'parquett'\ndid you mean parquet"):
        recommender.export(tmp_path, "parquett")
    with pytest.raises(UsageError, match="model popularity has no vectors to export"):
        graphrec.train(WORLD, "popularity").export(tmp_path)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphrec\[faiss\]'"):
        recommender.export(tmp_path, "faiss")
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(OccupiedError, match="is not empty"):
        recommender.export(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        recommender.export(tmp_path / "file" / "below")
