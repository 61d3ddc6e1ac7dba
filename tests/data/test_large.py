"""Building past memory gives what building in memory gives, whatever the rows, and survives interruptions."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec.data import Dataset, build_dataset, read_dataset
from graphrec.data.large import parts as large_parts
from graphrec.data.large import rows as large_rows
from graphrec.data.split import newest_cut

NAMES = ["7", "007", "NA", "é", "z", "\U0001f600", "\uffee", "a b", 'q"q', "x,y"]


def same(first: Dataset, second: Dataset) -> None:
    """Equal in all that a dataset holds, but for the names of its files."""
    assert first.fingerprint() == second.fingerprint()
    for name, ours in vars(first.interactions).items():
        theirs = getattr(second.interactions, name)
        np.testing.assert_array_equal(ours, theirs)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)
    assert first.item_table == second.item_table and first.user_table == second.user_table
    assert first.source | {"files": 0} == second.source | {"files": 0}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Interactions with and without times, ratings and weights."""
    count = draw(st.integers(1, 60))
    names, number = st.sampled_from(NAMES), st.integers(0, 4)
    columns: dict[str, Any] = {
        "user_id": draw(st.lists(names, min_size=count, max_size=count)),
        "item_id": draw(st.lists(names, min_size=count, max_size=count)),
    }
    for name in draw(st.sets(st.sampled_from(["timestamp", "rating", "weight"]))):
        columns[name] = draw(st.lists(number, min_size=count, max_size=count))
    return pa.table(columns)


def write_parts(folder: Path, table: pa.Table, suffix: str, cuts: list[int]) -> Path:
    """The table as files in a folder."""
    folder.mkdir()
    bounds = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        path, part = folder / f"part-{number:03}.{suffix}", table.slice(start, stop - start)
        if suffix == "csv":
            pa_csv.write_csv(part, path)
        else:
            pq.write_table(part, path, row_group_size=7)
    (folder / "_SUCCESS").touch()
    (folder / ".part-000.crc").touch()
    return folder


@pytest.fixture(autouse=True)
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that every border is crossed."""
    monkeypatch.setattr(large_rows, "ROWS", 5)
    monkeypatch.setattr(large_parts, "TEXT_BYTES", 100)
    monkeypatch.setattr(large_rows, "BLOCK", 7)
    monkeypatch.setattr(large_rows.whole_users, "__defaults__", (7,))


@settings(max_examples=60)
@given(
    tables(),
    st.none() | tables(),
    st.sampled_from([None, "random", "last", "time", "given"]),
    st.sampled_from(["csv", "parquet"]),
    st.lists(st.integers(0, 60), max_size=3),
    st.none() | st.integers(0, 4),
)
def test_past_memory_equals_in_memory(
    table: pa.Table, test: pa.Table | None, split: str | None, suffix: str, cuts: list[int], least: int | None
) -> None:
    options: dict[str, Any] = {"split": split, "seed": 3, "min_rating": least}
    with tempfile.TemporaryDirectory() as folder:
        parts = write_parts(Path(folder, "parts"), table, suffix, cuts)
        held = write_parts(Path(folder, "test"), test, suffix, cuts[:1]) if test is not None else None
        try:
            expected = read_dataset(table, test=test, **options)
        except Exception as error:  # whatever is wrong must be wrong in the same way
            with pytest.raises(type(error)) as caught:
                build_dataset(parts, Path(folder, "graph"), test=held, **options)
            assert caught.value.message == error.message
            return
        built = build_dataset(parts, Path(folder, "graph"), test=held, memory="1GB", **options)
        same(expected, built)
        same(expected, Dataset.load(Path(folder, "graph")))
        assert {path.name for path in Path(folder, "graph").iterdir()} == {"ids", "tables", "dataset.json"}


@given(st.lists(st.integers(-1, 5) | st.integers(-1, 2**63 - 1), max_size=40), st.integers(0, 40), st.integers(1, 9))
def test_the_cut_of_the_newest(times: list[int], newest: int, rows: int) -> None:
    column, newest = np.array(times, dtype=np.int64), min(newest, len(times))
    cut = newest_cut(lambda: (column[start : start + rows] for start in range(0, len(column), rows)), newest)
    assert (cut is None) == (newest == 0)
    if cut is not None:
        order = np.argsort(column, kind="stable")
        first = order[len(column) - newest]
        assert cut.time == column[first]
        assert cut.earlier == (np.flatnonzero(column == cut.time) < first).sum()
