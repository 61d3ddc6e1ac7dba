"""CSV for people: no cell that a spreadsheet runs, and nothing that cannot be read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec
from graphrec.recommender import write_csv
from tests.cli.calling import call_graphrec

RUN = "=+-@\t\r\n"
NAMES = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\ttab", "'quoted", 'say "hi"', "<b>, x", "i1"]


def cells(names: list[str | None]) -> list[str]:
    """What a spreadsheet would find in the column."""
    file = io.StringIO(newline="")
    write_csv(pa.table({"item_id": pa.array(names, pa.large_string()), "rank": range(len(names))}), file)
    return [row[0] for row in csv.reader(io.StringIO(file.getvalue(), newline=""))][1:]


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1))
def test_nothing_runs_and_all_comes_back(names: list[str]) -> None:
    written = cells(names)
    assert not any(cell[0] in RUN for cell in written)
    assert [cell.removeprefix("'") for cell in written] == names


def test_numbers_and_what_is_missing_stay_as_they_are() -> None:
    file = io.StringIO()
    table = pa.table({"user_id": pa.array([None], pa.large_string()), "item_id": ["i1"], "score": [-0.5]})
    assert write_csv(table, file) == 0
    assert file.getvalue() == "user_id,item_id,score\n,i1,-0.5\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = pd.DataFrame([(f"={user}", item) for user in "ab" for item in NAMES[:5]], columns=["user_id", "item_id"])
    items = pd.DataFrame({"item_id": NAMES})
    folder = tmp_path_factory.mktemp("cells") / "run"
    graphrec.train(graphrec.read_dataset(rows, items=items), "popularity").save(folder)
    return folder


@pytest.mark.parametrize("way", [("--all-users",), ("--history", "i1")])
def test_lists_as_csv_and_as_parquet(run: Path, tmp_path: Path, way: tuple[str, ...]) -> None:
    told = {}
    for suffix in ("csv", "parquet"):
        done = call_graphrec("recommend", run, *way, "--k=9", "--include-seen", "--out", tmp_path / f"top.{suffix}")
        assert done.status == 0, done.err
        told[suffix] = done.err
    exact = pd.read_parquet(tmp_path / "top.parquet")
    with (tmp_path / "top.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert exact["item_id"].tolist() == [row["item_id"].removeprefix("'") for row in found]
    assert set(exact["item_id"]) == set(NAMES)
    assert not any(cell[0] in RUN for row in found for cell in (row["item_id"], row["user_id"]) if cell)
    assert "in the CSV an apostrophe stands before each of them" in told["csv"] and "apostrophe" not in told["parquet"]
