"""Columns on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graphrec.data import Dataset, IdMap, read_dataset
from graphrec.data.storage import ColumnWriter, blocks, open_column, write_column
from graphrec.errors import DataError


def test_blocks_written_one_by_one_are_a_column(tmp_path: Path) -> None:
    path = tmp_path / "column.npy"
    with ColumnWriter(path, np.int64) as column:
        for block in ([1, 2], [], [3]):
            column.append(np.array(block, dtype=np.int32))
    opened = open_column(path)
    assert opened.tolist() == [1, 2, 3] and opened.dtype == np.int64 and not opened.flags.writeable
    np.testing.assert_array_equal(np.load(path), opened)
    write_column(tmp_path / "again.npy", opened)
    assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()
    assert [block.tolist() for (block,) in blocks(opened, rows=2)] == [[1, 2], [3]]
    write_column(path, np.zeros(0, np.uint8))
    assert len(open_column(path)) == 0


def test_columns_that_are_damaged(tmp_path: Path) -> None:
    data = read_dataset(pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "rating": [1.0, 2.0]}))
    path = tmp_path / "tables" / "interactions" / "rating.npy"
    for spoil, message in (
        (lambda: path.write_bytes(path.read_bytes()[:-1]), r"rating\.npy: missing or damaged"),
        (lambda: path.write_bytes(b"PK"), r"rating\.npy: missing or damaged"),
        (lambda: path.unlink(), r"rating\.npy: missing or damaged"),
        (lambda: np.save(path, np.zeros(2)), r"2 values of float64 do not match dataset\.json"),
        (lambda: np.save(path, np.zeros(1, np.float32)), r"1 values of float32 do not match dataset\.json"),
        (lambda: np.save(path, np.zeros((2, 1), np.float32)), "not a column"),
    ):
        data.save(tmp_path)
        spoil()
        with pytest.raises(DataError, match=message + r"(.|\n)*build the folder anew"):
            Dataset.load(tmp_path)


def test_a_fingerprint_does_not_see_slices(tmp_path: Path) -> None:
    data = read_dataset(pd.DataFrame({"user_id": ["a", "bc", "d"], "item_id": ["x", "y", "x"]}))
    wide = IdMap.from_values(["", "a", "bc", "d"])
    sliced = Dataset(IdMap(wide.array[1:]), data.items, data.entities, data.interactions, data.knowledge)
    assert sliced.fingerprint() == data.fingerprint()
    other = Dataset(IdMap.from_values(["ab", "c", "d"]), data.items, data.entities, data.interactions, data.knowledge)
    assert other.fingerprint() != data.fingerprint()
    data.save(tmp_path)
    assert Dataset.load(tmp_path).fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    "text", ["-" * 9000 + "1", "{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000000000,), }", "[]", ""]
)
def test_a_header_that_claims_too_much_is_not_believed(tmp_path: Path, text: str) -> None:
    header = f"{text}\n".encode()
    (tmp_path / "column.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8))
    with pytest.raises(DataError, match=r"column\.npy: missing or damaged \("):
        open_column(tmp_path / "column.npy")
