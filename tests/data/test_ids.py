"""IdMap: by hand, then as properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrec.data import IdMap
from graphrec.data.ids import FEW, as_strings
from graphrec.errors import DataError, UnknownIdError, UsageError

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)


def test_strings_that_look_alike_stay_apart() -> None:
    ids = IdMap.from_values(["7", "007", "NA", "null", "7", "9007199254740993"])
    assert ids.names(range(5)).tolist() == ["007", "7", "9007199254740993", "NA", "null"]
    assert "07" not in ids and 7 not in ids and "7" in ids


def test_integers_keep_numeric_order() -> None:
    assert IdMap.dense(11).names([9, 10]).tolist() == ["9", "10"]
    assert IdMap.from_integers(np.array([30, 4, 4])).names([0, 1]).tolist() == ["4", "30"]
    assert IdMap.dense(11).lookup(["10", "2", "11"]).tolist() == [10, 2, -1]
    assert len(IdMap.dense(0)) == 0


def test_unknown_ids_are_named_with_the_nearest_known_ones() -> None:
    ids = IdMap.from_values(["alice", "bob"])
    with pytest.raises(UnknownIdError, match=r"unknown item 'alcie'\ndid you mean alice\?"):
        ids.index(["bob", "alcie"], "item")
    with pytest.raises(UnknownIdError, match=r"'5', '6', '7', '8', '9' and 1 more"):
        IdMap.dense(5).index([str(number) for number in range(11)])


@pytest.mark.parametrize(
    "values",
    [
        ["5", "40"],
        [5, 40],
        np.array([5, 40]),
        pd.Series(["5", "40"]),
        pd.Series(["5", "40"], dtype="category"),
        pa.array([5, 40]),
        pa.chunked_array([["5"], ["40"]]),
        ("5", "40"),
    ],
)
def test_ids_come_in_any_container(values: object) -> None:
    assert as_strings(values).to_pylist() == ["5", "40"]


@pytest.mark.parametrize("values", ["alice", [1.0, 2.0], [True], ["a", None], [b"a"], [["a"]]])
def test_what_is_no_list_of_ids_is_refused(values: object) -> None:
    with pytest.raises(UsageError, match="ids must"):
        as_strings(values)


@given(st.lists(NAMES, max_size=3 * FEW))
def test_names_and_index_undo_each_other(names: list[str]) -> None:
    ids = IdMap.from_values(names)
    assert ids.names(np.arange(len(ids))).tolist() == sorted(set(names))
    assert ids.names(ids.index(names)).tolist() == names
    assert ids.index(names).dtype == np.int32


@given(st.lists(st.integers(0, 10**15), unique=True), st.lists(st.integers(0, 10**15), max_size=FEW))
def test_bisection_and_hashing_agree(known: list[int], wanted: list[int]) -> None:
    ids = IdMap.from_integers(np.array(known, dtype=np.int64))
    padded = wanted + [known[0] if known else 1] * (FEW + 1)
    assert ids.lookup(padded)[: len(wanted)].tolist() == ids.lookup(wanted).tolist()


def test_a_map_survives_its_file(tmp_path: Path) -> None:
    IdMap.from_values(["b", "a", "ä"]).save(tmp_path / "ids.parquet")
    assert IdMap.load(tmp_path / "ids.parquet", 3).names([0, 1, 2]).tolist() == ["a", "b", "ä"]
    (tmp_path / "ids.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match=r"ids\.parquet: not a list of ids"):
        IdMap.load(tmp_path / "ids.parquet", 3)
