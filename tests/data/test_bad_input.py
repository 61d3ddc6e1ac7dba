"""Every way a table can be wrong: the message names file, line and value, and a next step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from graphrec.data import read_dataset
from graphrec.errors import DataError, UsageError

Write = Callable[..., Path]
GOOD = "user_id,item_id\nann,x\nann,y\nbob,x\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "log.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id,item_id\nann,x\nann,y,z\n", r"log\.csv, line 3: 3 fields where 2 were expected"),
        ("user_id,item_id\nann,x\n\nann\n", r"log\.csv, line 4: 1 fields"),
        ('user_id,item_id\n"a\nb"x,y\n', r"log\.csv, line 2: the quotes of this row do not match"),
        (
            'user_id,item_id\r\n\r\nbob,y\r\nann,"x\r\nbob,y\r\n',
            r"log\.csv, line 4: the quotes of this row do not match",
        ),
        ('user_id,item_id\nann,"x\nbob,y\n', r"log\.csv, line 2: the quotes of this row do not match"),
        ("user_id,item_id\nann,x\n,y\n", r"log\.csv, line 3: user_id is empty"),
        ('user_id,item_id\nann,"x\ny"\n', r"log\.csv, line 2: item_id 'x\\ny' holds a line break"),
        ("user_id,item_id,rating\nann,x,4\nann,y,good\n", r"log\.csv, line 3: rating 'good' is not a number"),
        ("user_id,item_id,rating\nann,x,nan\n", r"line 2: rating 'nan' is not a number"),
        ("user_id,item_id,rating\nann,x,1e99\n", r"line 2: rating '1e99' is not a number"),
        ("user_id,item_id,weight\nann,x,\n", r"line 2: weight is empty"),
        ("user_id,item_id,timestamp\nann,x,5\nann,y,soon\n", r"line 3: timestamp 'soon' is neither"),
        ("user_id,item_id,timestamp\nann,x,1.5\n", r"line 2: timestamp '1\.5' is neither"),
        ("user_id,item_id,timestamp\nann,x,-4\n", r"line 2: timestamp '-4' is neither"),
        ("user_id,item\nann,x\n", r"no column 'item_id'; it has 'user_id', 'item'\ndid you mean item"),
        ("user_id;item_id\nann;x\n", r"it has 'user_id;item_id'\n.*--delimiter ';'"),
        ("user_id\titem_id\nann\tx\n", r"--delimiter '\\t'"),
        ("user_id,item_id,user_id\nann,x,bob\n", "two columns are called 'user_id'"),
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("user_id,item_id\n", "the interactions table has no rows"),
        ("user_id,item_id\nann,x\x00y\n", r"line 2: a NUL byte"),
        (GOOD.encode("utf-16"), "line 1: a NUL byte"),
        ("user_id,item_id\nann,x\nzoë,y\n".encode("latin-1"), r"line 3: not UTF-8 text\nsave the file as UTF-8"),
        (b"user_id,item_id\nann,x\n\xff\n", "line 3: not UTF-8 text"),  # nor a row that is too short to be read
        (b"user_id,item_id,more\nann,x,\xff\n", "line 2: not UTF-8 text"),  # nor a column that nobody reads
        ("user_id,item_id,timestamp\nann,x,0x10\n", "timestamp '0x10' is neither"),
        ("user_id,item_id,timestamp\nann,x,9223372036854775808\n", "timestamp '9223372036854775808' is neither"),
    ],
)
def test_the_reader_stops_with_file_line_and_value(write: Write, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(write(content))


@pytest.mark.parametrize("content", ["u" * 17_000_000, GOOD + "u" * 17_000_000 + ",x\n"])
def test_a_field_without_an_end(write: Write, content: str) -> None:
    with pytest.raises(
        DataError, match=r"GR014 .*log\.csv, line [15]: a row of more than 16,777,216 characters is too long"
    ):
        read_dataset(write(content))


def test_skipping_counts_and_shows_the_first_five(write: Write) -> None:
    lines = ["user_id,item_id,rating", "ann,x,4", "ann", *[f"ann,y,bad{n}" for n in range(5)], "cat,,", "bob,x,5"]
    data = read_dataset(write("\n".join(lines)), on_bad_row="skip")
    skipped = data.source["skipped"]
    assert skipped["count"] == 1 + 5 + 1
    assert [(row["line"], row["reason"]) for row in skipped["first"]] == [
        (3, "1 fields where 3 were expected"),
        *[(4 + n, f"rating 'bad{n}' is not a number") for n in range(4)],
    ]
    assert data.source["rows"]["interactions"] == 9
    assert data.items.names(range(data.num_items)).tolist() == ["x"]  # y stood in bad rows only
    assert data.users.names(range(data.num_users)).tolist() == ["ann", "bob"]


def test_only_bad_rows_is_an_error_even_when_skipping(write: Write) -> None:
    with pytest.raises(DataError, match="every row is bad; line 2: user_id is empty"):
        read_dataset(write("user_id,item_id\n,x\n"), on_bad_row="skip")


def test_missing_files_and_unknown_folders(write: Write, tmp_path: Path) -> None:
    write(GOOD, "interactions.csv")
    with pytest.raises(DataError, match=r"no such file.*\ndid you mean interactions\.csv\?"):
        read_dataset(tmp_path / "interaction.csv")
    with pytest.raises(DataError, match=r"cannot read a \.xlsx file"):
        read_dataset(write(b"PK", "log.xlsx"))
    with pytest.raises(DataError, match="is a folder, and the knowledge table must be a file"):
        read_dataset(tmp_path / "interactions.csv", knowledge=tmp_path)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_dataset(write(b"PK", "log.parquet"))


def test_wrong_arguments(write: Write) -> None:
    path = write(GOOD)
    for arguments, message in (
        ({"split": "rnadom"}, "did you mean random"),
        ({"on_bad_row": "skp"}, r"stop or skip, got 'skp'\ndid you mean skip\?"),
        ({"columns": {"user": "x"}}, "no column 'user' to rename"),
        ({"delimiter": "\n"}, "delimiter must be characters other than quotes"),
        ({"delimiter": "\udc80"}, "delimiter must be characters other than quotes"),
        *(
            ({"encoding": name}, "encoding .* is not known")
            for name in ("utf-9", "idna", "punycode", "undefined", "\0")
        ),
        ({"min_rating": 3}, "min_rating needs a rating column"),
    ):
        with pytest.raises(UsageError, match=message):
            read_dataset(path, **arguments)
    with pytest.raises(DataError, match="no column 'stars'"):
        read_dataset(path, columns={"rating": "stars"})
    with pytest.raises(DataError, match="header names 3 columns, line 1 has 2"):
        read_dataset(path, header=["user_id", "item_id", "rating"])
    with pytest.raises(DataError, match="split 'last' needs timestamps"):
        read_dataset(path, split="last")
    with pytest.raises(UsageError, match="brings its own test rows"):
        read_dataset(path, test=path, split="random")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, None], "user_id holds floats; an id such as 1.0 comes from a missing value"),
        ([True, False], "user_id holds bool, and ids are text or integers"),
        ([["a"], ["b"]], "user_id holds list"),
        ([1, "a"], "user_id mixes types"),
        (["a", None], r"interactions \(DataFrame\), row 2: user_id is empty"),
        (["a", ""], r"row 2: user_id is empty"),
    ],
)
def test_ids_in_frames(values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(pd.DataFrame({"user_id": values, "item_id": ["x", "y"]}))


def test_knowledge_that_cannot_be(write: Write) -> None:
    path = write(GOOD)
    with pytest.raises(DataError, match=r"kg\.csv, line 3: tail_type 'artist' is none of user, item, entity"):
        read_dataset(path, knowledge=write("head,relation,tail,tail_type\nx,by,m,entity\ny,by,m,artist\n", "kg.csv"))
    with pytest.raises(DataError, match="the knowledge table has no column 'relation'"):
        read_dataset(path, knowledge=write("head,tail\nx,m\n", "kg.csv"))


def test_an_item_described_twice(write: Write) -> None:
    items = write("item_id,title\nx,One\ny,Two\nx,Three\n", "items.csv")
    with pytest.raises(DataError, match=r"items\.csv, line 4: item_id 'x' was described before"):
        read_dataset(write(GOOD), items=items)
    data = read_dataset(write(GOOD), items=items, on_bad_row="skip")
    assert data.item_title(0) == "One" and data.source["skipped"]["count"] == 1


def test_no_rating_high_enough() -> None:
    table = pa.table({"user_id": ["a"], "item_id": ["x"], "rating": [3]})
    with pytest.raises(DataError, match=r"no row has a rating >= 4; the highest is 3"):
        read_dataset(table, min_rating=4)
