"""Bad and strange text, ids and numbers: one stated answer each, the same in memory and past it (docs/trust.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrec.data import Dataset, build_dataset, read_dataset
from graphrec.errors import DataError

Read = Callable[..., Dataset]
HEAD = "user_id,item_id\n"
RATED = "user_id,item_id,rating\n"
TIMED = "user_id,item_id,timestamp\n"
LONG = "a" * 10_000_000
UTF16, LATIN = (HEAD + "ann,x\n").encode("utf-16"), (HEAD + "zoë,x\n").encode("latin-1")


@pytest.fixture(params=["in memory", "past memory"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Read:
    """Writes text to log.csv and reads it, with the options of read_dataset."""
    memory = None if request.param == "in memory" else "1GB"

    def reading(content: str | bytes, **options: Any) -> Dataset:
        path = tmp_path / "log.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_dataset(path, memory=memory, **options)

    return reading


def pairs(data: Dataset) -> set[tuple[str, str]]:
    edges = data.interactions
    return set(zip(data.users.names(edges.user), data.items.names(edges.item), strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(HEAD, "the interactions table has no rows", id="header only"),
        pytest.param(UTF16, r"line 1: a NUL byte.*UTF-16\n.*--encoding utf-16", id="UTF-16"),
        pytest.param(LATIN, r"line 2: not UTF-8 text\n.*--encoding: latin-1", id="Latin-1"),
        pytest.param(HEAD + "ann,x\nbob,\0y\n", "line 3: a NUL byte; the file is damaged", id="NUL byte"),
        pytest.param(HEAD + 'ann,"x\ny"\n', r"line 2: item_id 'x\\ny' holds a line break", id="quoted newline"),
        pytest.param(HEAD + 'ann,"x\nbob,y\n', "line 2: the quotes of this row do not match", id="open quote"),
        pytest.param(HEAD + "ann,x\n,y\n", "line 3: user_id is empty", id="empty id"),
        pytest.param(
            HEAD + f"ann,x\n{LONG[:100_000]},y\n", r"line 3: user_id 'a{20}…' \(100,000 char.*65,536", id="long id"
        ),
        pytest.param(RATED + "ann,x,NaN\n", "line 2: rating 'NaN' is not a number", id="NaN"),
        pytest.param(RATED + "ann,x,\n", "line 2: rating is empty", id="no rating"),
        pytest.param(RATED + "ann,x,-Infinity\n", "line 2: rating '-Infinity' is not a number", id="infinite"),
        pytest.param(RATED + "ann,x,5\nann,y,five\n", "line 3: rating 'five' is not a number", id="text rating"),
        pytest.param(
            "user_id,item_id,weight\nann,x,-0.5\n", "weight '-0.5' is not a number >= 0", id="negative weight"
        ),
        pytest.param(TIMED + "ann,x,5\nann,y,\n", "line 3: timestamp is empty", id="absent timestamp"),
        pytest.param(TIMED + "ann,x,yesterday\n", "line 2: timestamp 'yesterday' is neither", id="text timestamp"),
    ],
)
def test_refused_with_line_and_value(read: Read, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"log\.csv.*{message}"):
        read(content)


def test_an_id_of_ten_megabytes(read: Read) -> None:
    content = HEAD + f"ann,x\n{LONG},y\n"
    with pytest.raises(DataError, match=r"line 3: user_id 'a{20}…' \(10,000,000 characters\)") as caught:
        read(content)
    assert len(str(caught.value)) < 500
    assert pairs(read(content, on_bad_row="skip")) == {("ann", "x")}


def test_a_row_of_forty_megabytes(read: Read) -> None:
    with pytest.raises(
        DataError, match=r"log\.csv, line 3: a row of more than 16,777,216 characters is too long to be read"
    ):
        read(HEAD + f"ann,x\n{LONG * 4},y\n", on_bad_row="skip")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("\ufeff" + HEAD + "ann,x\n", {("ann", "x")}, id="BOM"),
        pytest.param(HEAD.replace("\n", "\r\n") + "ann,x\r\nbob,y\r\n", {("ann", "x"), ("bob", "y")}, id="CRLF"),
        pytest.param(HEAD + 'ann,"x, ""y"""\n', {("ann", 'x, "y"')}, id="quoted delimiter"),
        pytest.param(HEAD + "ann,x\nbob,y", {("ann", "x"), ("bob", "y")}, id="no final newline"),
        pytest.param(HEAD + "NA,null\nnull,NaN\n", {("NA", "null"), ("null", "NaN")}, id="NA and null"),
        pytest.param(HEAD + "007,x\n7,x\n7.0,x\n", {("007", "x"), ("7", "x"), ("7.0", "x")}, id="007 beside 7"),
        pytest.param(
            HEAD + f"{2**63},x\n{2**63 + 1},x\n{2**80},x\n",
            {(str(2**63), "x"), (str(2**63 + 1), "x"), (str(2**80), "x")},
            id="beyond 2^63",
        ),
        pytest.param(HEAD + f"{2**53},x\n{2**53 + 1},x\n", {(str(2**53), "x"), (str(2**53 + 1), "x")}, id="2^53 + 1"),
        pytest.param(HEAD + " ann,x\nann,x \n", {(" ann", "x"), ("ann", "x ")}, id="blanks around ids"),
    ],
)
def test_read_as_it_stands(read: Read, content: str, expected: set[tuple[str, str]]) -> None:
    assert pairs(read(content)) == expected


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_large_integers_of_parquet_keep_their_digits(tmp_path: Path, memory: str | None) -> None:
    users = pa.array([2**53, 2**53 + 1, 2**64 - 1], pa.uint64())
    pq.write_table(pa.table({"user_id": users, "item_id": ["x", "x", "x"]}), tmp_path / "log.parquet")
    data = read_dataset(tmp_path / "log.parquet", memory=memory)
    assert pairs(data) == {(str(2**53), "x"), (str(2**53 + 1), "x"), (str(2**64 - 1), "x")}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_text_is_read_when_it_is_named(read: Read, encoding: str) -> None:
    assert pairs(read((HEAD + "zoë,x\n").encode(encoding), encoding=encoding)) == {("zoë", "x")}


def test_a_newline_inside_the_quotes_of_a_title(read: Read, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text('item_id,title\nx,"One\nTwo"\ny,Three\n')
    data = read(HEAD + "ann,x\n", items=items)
    assert [data.item_title(0), data.item_title(1)] == ["One\nTwo", "Three"]


def test_numbers_in_scientific_notation(read: Read) -> None:
    data = read("user_id,item_id,rating,weight\nann,x,4E0,3.2466e+05\nbob,x,-.5,1e-3\n")
    assert data.interactions.rating.tolist() == [4.0, -0.5]
    np.testing.assert_array_equal(data.interactions.weight, np.float32([324_660, 0.001]))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param(["1700000000", "1700000001"], [1_700_000_000, 1_700_000_001], id="seconds"),
        pytest.param(["1700000000123", "1.7e12"], [1_700_000_000_123, 1_700_000_000_000], id="milliseconds"),
        pytest.param(["2024-05-31", "2024-05-31 00:00:01.5"], [1_717_113_600, 1_717_113_601], id="dates"),
    ],
)
def test_times_in_any_unit(read: Read, times: list[str], expected: list[int]) -> None:
    data = read(TIMED + f"ann,x,{times[0]}\nbob,x,{times[1]}\n")
    assert data.interactions.timestamp.tolist() == expected


def test_times_that_some_rows_lack(read: Read) -> None:
    data = read(TIMED + "ann,x,5\nann,y,\nann,z,7\n", on_bad_row="skip")
    assert pairs(data) == {("ann", "x"), ("ann", "z")} and data.source["skipped"]["count"] == 1


def test_duplicate_rows(read: Read) -> None:
    data = read("user_id,item_id,timestamp,rating\nann,x,7,2\nann,x,9,4\nann,x,8,5\nbob,x,1,1\n")
    assert data.interactions.count.tolist() == [3, 1] and data.source["duplicates"] == 2
    assert data.interactions.rating.tolist() == [4, 1]  # of the newest


def test_gaps_in_integer_ids(read: Read) -> None:
    data = read(HEAD + "1,5\n1000000,7\n")
    assert (data.num_users, data.num_items) == (2, 2)  # nobody is made up in between


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_frame_with_an_absent_id(missing: object) -> None:
    with pytest.raises(DataError, match=r"interactions \(DataFrame\), row 2: user_id is empty"):
        read_dataset(pd.DataFrame({"user_id": ["a", missing], "item_id": ["x", "y"]}))


def test_both_ways_write_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(TIMED + '"é, ""1""",007,5\nNA,7,6\n9007199254740993,"x, y",7\n')
    folders = [tmp_path / "small", tmp_path / "large"]
    for folder, memory in zip(folders, (None, "1GB"), strict=True):
        build_dataset(path, folder, memory=memory)
    small, large = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*") if p.is_file()} for f in folders)
    assert small == large
