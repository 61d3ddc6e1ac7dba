"""Lists streamed to a file: the rows of ``recommend``, resumed where they were left, started anew for another call."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import graphrec
from graphrec.errors import OccupiedError, OutputError, UnknownIdError, UsageError
from graphrec.recommender import Advance, batch, parts
from tests.worlds import small_world

WORLD = small_world()
QUICK = {"epochs": 2, "width": 8, "batch_size": 128, "seed": 1}


@pytest.fixture(scope="module", params=["popularity", "lightgcn", "fused"])
def recommender(request: pytest.FixtureRequest) -> graphrec.Recommender:
    return graphrec.train(WORLD, request.param, **({} if request.param == "popularity" else QUICK))


@pytest.fixture(autouse=True)
def few_users_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BLOCK_USERS", 7)


class Stop(Exception):
    """A process that is killed."""


def stop_after(blocks: int) -> object:
    def on_block(advance: Advance) -> None:
        if advance.done - advance.found >= 7 * blocks:
            raise Stop

    return on_block


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_file_holds_what_recommend_gives(recommender: graphrec.Recommender, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"top{suffix}"
    written = recommender.recommend_to(path, k=4)
    expected = recommender.recommend(k=4)
    found = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    pd.testing.assert_frame_equal(found, expected, check_dtype=suffix == ".parquet", rtol=1e-5)
    assert (written.rows, written.lists, written.short) == (240, 60, 0)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_choices_are_those_of_recommend(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    users = WORLD.users.names(np.array([9, 3, 30])).tolist()
    items = WORLD.items.names(np.arange(12)).tolist()
    options = {"k": 20, "filter_seen": False, "items": items, "exclude": items[:2]}
    written = recommender.recommend_to(tmp_path / "top.parquet", users, **options)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "top.parquet"), recommender.recommend(users, **options), rtol=1e-5
    )
    assert (written.rows, written.lists, written.short) == (30, 3, 3)


def test_a_stopped_call_goes_on(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    path, seen = tmp_path / "top.parquet", []
    with pytest.raises(Stop):
        recommender.recommend_to(path, k=3, on_block=stop_after(2))
    assert not path.exists()
    kept = {part.name: part.stat().st_mtime_ns for part in (tmp_path / "top.parquet.parts").iterdir()}
    assert sorted(kept) == ["000000.parquet", "000001.parquet", "asked.json"]
    (tmp_path / "top.parquet.parts" / ".000002.parquet.x.tmp").write_bytes(b"half a part")
    recommender.save(tmp_path / "run")
    again = graphrec.load(tmp_path / "run")
    again.recommend_to(path, k=3, on_block=seen.append)
    assert (seen[0].found, seen[0].done, seen[0].restarted, seen[0].seconds_left) == (14, 14, False, None)
    assert [advance.done for advance in seen] == [14, 21, 28, 35, 42, 49, 56, 60]
    assert seen[-1].seconds_left == 0
    recommender.recommend_to(tmp_path / "whole.parquet", k=3)
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "top.parquet.parts").exists()


def test_another_call_starts_anew(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    path = tmp_path / "top.parquet"
    others = [
        {"k": 2},
        {"filter_seen": False},
        {"exclude": ["i1"]},
        {"users": WORLD.users.names(np.arange(20)).tolist()},
    ]
    for other in others:
        with pytest.raises(Stop):
            recommender.recommend_to(path, **({"k": 3} | other), on_block=stop_after(1))
        seen: list[Advance] = []
        recommender.recommend_to(path, k=3, on_block=seen.append)
        assert (seen[0].restarted, seen[0].found) == (True, 0)
    assert len(pd.read_parquet(path)) == 180


def test_other_weights_start_anew(tmp_path: Path) -> None:
    first, second = (graphrec.train(WORLD, "lightgcn", **QUICK | {"seed": seed}) for seed in (1, 2))
    with pytest.raises(Stop):
        first.recommend_to(tmp_path / "top.csv", on_block=stop_after(1))
    seen: list[Advance] = []
    second.recommend_to(tmp_path / "top.csv", on_block=seen.append)
    assert seen[0].restarted


def test_a_full_disk_keeps_what_is_finished(
    recommender: graphrec.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "top.parquet", pq.write_table

    def full(table: object, place: Path) -> None:
        if "000003" in str(place):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(table, place)

    monkeypatch.setattr(parts.pq, "write_table", full)
    with pytest.raises(OutputError, match=r"No space left(.|\n)*stays in .*top\.parquet\.parts: call the same again"):
        recommender.recommend_to(path, k=3)
    monkeypatch.setattr(parts.pq, "write_table", write)
    seen: list[Advance] = []
    recommender.recommend_to(path, k=3, on_block=seen.append)
    assert seen[0].found == 21 and len(pd.read_parquet(path)) == 180


def test_a_folder_of_something_else_stays(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    (tmp_path / "top.csv.parts").mkdir()
    (tmp_path / "top.csv.parts" / "thesis.tex").write_text("years of work")
    with pytest.raises(OccupiedError, match=r"holds thesis\.tex"):
        recommender.recommend_to(tmp_path / "top.csv")
    assert (tmp_path / "top.csv.parts" / "thesis.tex").exists()


@pytest.mark.parametrize(
    "name", ["mine.parquet", "20240101.parquet", ".mine.parquet.x.tmp", "mine.tmp", "000009.parquet/"]
)
@pytest.mark.parametrize("begun", [False, True])
def test_what_is_not_ours_stays(name: str, begun: bool, tmp_path: Path) -> None:
    recommender = graphrec.train(WORLD, "popularity")
    path, folder = tmp_path / "top.parquet", tmp_path / "top.parquet.parts"
    if begun:
        with pytest.raises(Stop):
            recommender.recommend_to(path, k=3, on_block=stop_after(2))
    folder.mkdir(exist_ok=True)
    strange = folder / name
    strange.mkdir() if name.endswith("/") else strange.write_text("years of work")
    there = sorted(folder.iterdir())
    with pytest.raises(OccupiedError, match=f"holds {strange.name}, which is no part of a table"):
        recommender.recommend_to(path, k=2)
    assert sorted(folder.iterdir()) == there and not path.exists()


def test_what_somebody_adds_meanwhile_stays(tmp_path: Path) -> None:
    recommender = graphrec.train(WORLD, "popularity")
    mine = tmp_path / "top.csv.parts" / "mine.parquet"
    recommender.recommend_to(tmp_path / "top.csv", k=3, on_block=lambda advance: mine.write_text("years of work"))
    assert len(pd.read_csv(tmp_path / "top.csv")) == 180
    assert list(mine.parent.iterdir()) == [mine]


def test_parts_without_their_note_are_made_anew(tmp_path: Path) -> None:
    recommender = graphrec.train(WORLD, "popularity")
    path, seen = tmp_path / "top.parquet", []
    with pytest.raises(Stop):
        recommender.recommend_to(path, k=3, on_block=stop_after(2))
    (tmp_path / "top.parquet.parts" / "asked.json").unlink()
    (tmp_path / "top.parquet.parts" / ".asked.json.x.tmp").write_text("{")
    recommender.recommend_to(path, k=3, on_block=seen.append)
    assert (seen[0].restarted, seen[0].found) == (True, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["top.parquet"]


def test_bad_calls_and_nobody(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.parquet or \.csv"):
        recommender.recommend_to(tmp_path / "top.xlsx")
    with pytest.raises(UsageError, match="k must be >= 1"):
        recommender.recommend_to(tmp_path / "top.csv", k=0)
    with pytest.raises(UnknownIdError, match="alcie"):
        recommender.recommend_to(tmp_path / "top.csv", ["alcie"])
    assert recommender.recommend_to(tmp_path / "top.csv", []).rows == 0
    assert (tmp_path / "top.csv").read_text().strip() == "user_id,item_id,score,rank"


def test_a_loaded_run_lists_without_edges(tmp_path: Path) -> None:
    graphrec.train(WORLD, "gat", heads=2, **QUICK).save(tmp_path / "run")
    loaded = graphrec.load(tmp_path / "run")
    loaded.recommend_to(tmp_path / "top.csv")
    loaded.recommend(["alice"])
    assert not loaded.model.graph.is_made
    loaded.recommend(history=["i1"])
    assert loaded.model.graph.is_made
    assert torch.get_num_threads() > 0
