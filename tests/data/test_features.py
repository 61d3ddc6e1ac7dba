"""Side tables as features: by hand, what is absent, vectors from files, and everything that can be wrong with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrec.data import Dataset, build_dataset, check_dataset, read_dataset
from graphrec.data.attributes import WIDTH, describe
from graphrec.data.rejected import Rejected
from graphrec.data.vectors import read_vectors
from graphrec.errors import DataError, MissingExtraError, UsageError

ROWS = pa.table({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "z"]})
ITEMS = pa.table({"item_id": ["x", "y"], "title": ["red fox", "red hen"], "year": ["1990", "2000"]})


def texts(**columns: list[str | None]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()})


def test_words_by_hand() -> None:
    """Of red, fox, hen and tall, fox and red stand in two rows of three; TF-IDF is ln(4/3) + 1 for both."""
    found = describe(texts(title=["Red fox!", "red hen", "fox, tall fox"]))
    np.testing.assert_allclose(found["text"], [[0.5**0.5, 0.5**0.5], [1, 0], [0, 1]], atol=1e-6)
    assert set(found) == {"text"} and found["text"].dtype == np.float32


def test_categories_are_whole_values_and_lists_are_split() -> None:
    """Five parts, two values: categories. Their tokens are war and drama, whatever the words."""
    found = describe(texts(genres=["cold war|drama", "drama ", "cold war", "|cold war", None]))["text"]
    assert found.shape == (5, 2)
    np.testing.assert_array_equal(found[1:4] != 0, [[False, True], [True, False], [True, False]])
    assert np.isnan(found[4]).all()


def test_what_says_nothing_is_no_feature() -> None:
    assert describe(texts(code=["a1", "b2", "c3"], kind=["item", "item", "item"], year=["7", "7", None])) == {}
    assert describe(texts(empty=[None, None])) == {} and describe(texts(title=[])) == {}


def test_numbers_are_standardised_and_absent_ones_are_not_made_up() -> None:
    found = describe(texts(year=["1990", "2000", None, None], pages=["1e2", "3e2", "2e2", None]))["numbers"]
    assert found[:3, 0].tolist() == [-1, 1, 0]  # row 2 has pages, so its year counts as the mean
    np.testing.assert_allclose(found[:3, 1], np.array([-1, 1, 0]) * 1.5**0.5, rtol=1e-6)
    assert np.isnan(found[3]).all()


def test_numbers_that_overflow_are_no_feature() -> None:
    assert describe(texts(size=["1e308", "-1e308"], more=["1e400", "1"])) == {}


def test_many_tokens_are_reduced_and_likeness_stays() -> None:
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(200)]
    rows = [" ".join(generator.choice(words, 8)) for _ in range(300)]
    first, again = (describe(texts(title=[*rows, rows[0]]))["text"] for _ in range(2))
    assert first.shape == (301, WIDTH)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first[0], first[300], atol=1e-5)
    assert describe(texts(title=rows[:10] + rows[:10]))["text"].shape[1] <= 20


def test_read_saved_and_loaded(tmp_path: Path) -> None:
    items = pa.table({"item_id": ["x", "y"], "title": ["a fox", "the hen"], "year": ["1990", "2000"]})
    data = read_dataset(ROWS, items=items, item_vectors={"image": pa.table({"id": ["z"], "v": [[1.0, 2.0]]})})
    numbers, image = data.features["item"]["numbers"], data.features["item"]["image"]
    assert numbers[:2].tolist() == [[-1], [1]] and np.isnan(numbers[2]).all()
    assert image[2].tolist() == [1, 2] and np.isnan(image[:2]).all()
    assert data.source["features"]["item.image"] == {"width": 2, "rows": 1, "unknown": 0}
    assert data.source["files"]["item.image"] == "Table" and data.source["rows"]["item.image"] == 1
    data.save(tmp_path)
    again = Dataset.load(tmp_path)
    assert isinstance(again.features["item"]["image"], np.memmap)
    assert again.fingerprint() == data.fingerprint() != read_dataset(ROWS, items=items).fingerprint()
    read_dataset(ROWS, items=items).save(tmp_path)
    assert not (tmp_path / "tables" / "features" / "item.image.npy").exists()
    assert set(Dataset.load(tmp_path).features["item"]) == {"numbers"}
    assert check_dataset(again)["source"]["features"]["item.numbers"] == {"width": 1, "rows": 2}


def test_a_folder_from_before_features_loads(tmp_path: Path) -> None:
    read_dataset(ROWS).save(tmp_path)
    path = tmp_path / "dataset.json"
    header = json.loads(path.read_text())
    del header["features"], header["source"]["features"]
    path.write_text(json.dumps(header))
    assert Dataset.load(tmp_path).features == {}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "missing or damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), "missing or damaged"),
        (
            lambda path: np.save(path, np.zeros((3, 2))),
            r"holds float64 \[3, 2\], and dataset.json says float32 \[3, 2\]",
        ),
        (lambda path: np.save(path, np.zeros((3, 1), np.float32)), r"holds float32 \[3, 1\]"),
        (lambda path: np.save(path, np.full((3, 2), np.inf, np.float32)), "neither numbers nor absent"),
        (lambda path: np.save(path, np.array([[1, np.nan]] * 3, np.float32)), "neither numbers nor absent"),
    ],
)
def test_damaged_files(spoil: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    read_dataset(ROWS, item_vectors={"image": pa.table({"id": ["z"], "v": [[1.0, 2.0]]})}).save(tmp_path)
    spoil(tmp_path / "tables" / "features" / "item.image.npy")
    with pytest.raises(DataError, match=message + r"(.|\n)*build the folder anew"):
        Dataset.load(tmp_path)


def test_vectors_in_every_form(tmp_path: Path) -> None:
    """Lists, columns of numbers, a DataFrame and .npy all say the same."""
    ids, values = ["007", "7"], np.array([[1, 2], [3, 4]], np.float32)
    columns = pa.table({"item_id": ids, "a": values[:, 0], "b": values[:, 1].astype(np.float64)})
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 2)
    pq.write_table(pa.table({"id": ids, "vector": fixed}), tmp_path / "fixed.parquet")
    np.save(tmp_path / "image.npy", values)
    sources: list[Any] = [columns, columns.to_pandas(), tmp_path / "fixed.parquet", tmp_path / "image.npy"]
    sources.append(pd.DataFrame({"sku": ids, "vector": list(values)}))
    for beside in ("image_ids.csv", "image_ids.parquet"):
        frame = pd.DataFrame({"id": ids})
        frame.to_csv(tmp_path / beside, index=False) if beside.endswith("csv") else frame.to_parquet(tmp_path / beside)
        for source in sources:
            found = read_vectors(source, "item", "image", renamed={"item_id": "sku"})
            assert found.ids.to_pylist() == ids and found.values.tolist() == values.tolist()
        (tmp_path / beside).unlink()


def test_an_empty_cell_is_a_missing_vector() -> None:
    lists = pa.table({"id": ["a", "b"], "v": [None, [1.0]]})
    columns = pa.table({"id": ["a", "b"], "p": pa.array([None, 1.0]), "q": pa.array([None, 2])})
    for table, values in ((lists, [[1.0]]), (columns, [[1.0, 2.0]])):
        found = read_vectors(table, "item", "image")
        assert (found.ids.to_pylist(), found.values.tolist(), found.read) == (["b"], values, 2)


BAD = {
    "unequal": ({"id": ["a", "b"], "v": [[1.0, 2.0], [1.0]]}, "row 2: v has 1 numbers, and the vector of row 1 2"),
    "nan": ({"id": ["a", "b"], "v": [[1.0], [float("nan")]]}, "row 2: its vector holds NaN or infinity"),
    "inf": ({"id": ["a", "b"], "p": [1.0, float("inf")]}, "row 2: its vector holds NaN or infinity"),
    "too large": ({"id": ["a", "b"], "p": [1.0, 1e300]}, "row 2: its vector holds NaN or infinity"),
    "null within": ({"id": ["a", "b"], "v": [[1.0], [None]]}, "row 2: its vector holds NaN or infinity"),
    "gap": ({"id": ["a", "b"], "p": [1.0, 2.0], "q": pa.array([1.0, None])}, "row 2: q is empty"),
    "twice": ({"id": ["a", "a"], "v": [[1.0], [2.0]]}, "row 2: id 'a' was described before"),
    "no id": ({"id": pa.array(["a", None]), "v": [[1.0], [2.0]]}, "row 2: id is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_stop_or_are_counted(name: str) -> None:
    columns, message = BAD[name]
    table = pa.table(columns)
    with pytest.raises(DataError, match=f"item vectors image, {message}\n.*--on-bad-row skip"):
        read_vectors(table, "item", "image")
    rejected = Rejected()
    found = read_vectors(table, "item", "image", rejected=rejected)
    assert (found.ids.to_pylist(), found.read, rejected.count) == (["a"], 2, 1)
    assert rejected.first[0]["row"] == 2 and np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"]}, "its vectors have no numbers"),
        ({"id": ["a"], "v": [[]]}, "holds lists of null|its vectors have no numbers"),
        ({"id": ["a"], "v": pa.array([None], pa.list_(pa.float32()))}, "its vectors have no numbers"),
        ({"id": ["a"], "v": [["x"]]}, "v holds lists of string, not of numbers"),
        ({"id": ["a"], "p": [1.0], "q": ["x"]}, "column 'q' holds string, not numbers"),
        ({"sku": ["a"], "p": [1.0]}, "no column item_id or id; it has 'sku', 'p'"),
        ({"id": [1.5], "p": [1.0]}, "id holds floats"),
    ],
)
def test_tables_that_hold_no_vectors(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_vectors(pa.table(columns), "item", "image")


def test_npy_files_that_are_wrong(tmp_path: Path) -> None:
    path, ids = tmp_path / "image.npy", tmp_path / "image_ids.csv"
    np.save(path, np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"neither image_ids.parquet nor image_ids.csv lies beside it"):
        read_vectors(path, "item", "image")
    ids.write_text("id\na\n")
    with pytest.raises(DataError, match=r"has 2 rows, and image_ids.csv 1 ids"):
        read_vectors(path, "item", "image")
    ids.write_text("id\na\na\n")
    with pytest.raises(DataError, match=r"image.npy, row 2: item_id 'a' was described before"):
        read_vectors(path, "item", "image")
    for array in (np.zeros(3), np.array([["x"]]), np.zeros((2, 0))):
        np.save(path, array)
        with pytest.raises(DataError, match=r"image.npy: (holds no table of numbers|its vectors have no numbers)"):
            ids.write_text("id\na\nb\n")
            read_vectors(path, "item", "image")
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"image.npy: cannot be read as .npy"):
        read_vectors(path, "item", "image")
    path.write_bytes(b"\x93NUMPY\x01\x00\x04\x00{(3\n")  # numpy takes such a header apart as Python would
    with pytest.raises(DataError, match=r"image.npy: cannot be read as .npy"):
        read_vectors(path, "item", "image")
    with pytest.raises(DataError, match=r"vectors come as .parquet or .npy"):
        read_vectors(tmp_path / "image.csv", "item", "image")
    with pytest.raises(DataError, match=r"cannot be read as Parquet"):
        read_vectors(tmp_path / "none.parquet", "item", "image")


def test_unknown_ids_stop_or_are_counted() -> None:
    vectors = pa.table({"id": ["x", "p", "q"], "v": [[1.0], [2.0], [3.0]]})
    with pytest.raises(DataError, match=r"row 2: there is no item 'p' \(nor those of 1 other rows\)\n.*skip"):
        read_dataset(ROWS, item_vectors={"image": vectors})
    data = read_dataset(ROWS, item_vectors={"image": vectors}, on_bad_row="skip")
    assert data.source["features"]["item.image"] == {"width": 1, "rows": 1, "unknown": 2}
    with pytest.raises(UsageError, match="user_vectors: a name is made of letters"):
        read_dataset(ROWS, user_vectors={"a/b": vectors})


def test_past_memory_the_features_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("user_id,item_id\nann,x\nann,y\nbob,z\n")
    pq.write_table(pa.table({"id": ["z", "x"], "v": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / "image.parquet")
    given: dict[str, Any] = {"items": ITEMS, "item_vectors": {"image": tmp_path / "image.parquet"}}
    small = build_dataset(tmp_path / "rows.csv", tmp_path / "small", **given)
    large = build_dataset(tmp_path / "rows.csv", tmp_path / "large", **given, memory="1GB")
    assert small.fingerprint() == large.fingerprint()
    assert small.source["features"] == large.source["features"]
    for path in sorted((tmp_path / "small" / "tables" / "features").iterdir()):
        assert path.read_bytes() == (tmp_path / "large" / "tables" / "features" / path.name).read_bytes()


class Sentences:
    """A stand-in for a sentence-transformers model: a text becomes its length and its commas."""

    def __init__(self, folder: str, **options: Any) -> None:
        assert options == {"device": "cpu", "local_files_only": True, "model_kwargs": {"use_safetensors": True}}

    def encode(self, texts: list[str], show_progress_bar: bool) -> np.ndarray:
        return np.array([[len(text), text.count(",")] for text in texts], dtype=np.float32)


def test_a_sentence_model_reads_the_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = ModuleType("sentence_transformers")
    library.SentenceTransformer = Sentences  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    items = pa.table({"item_id": ["x", "y", "z"], "title": ["fox", "", "ox"], "genre": ["a|b", "", "c"]})
    text = read_dataset(ROWS, items=items, text_model=tmp_path).features["item"]["text"]
    assert text[[0, 2]].tolist() == [[len("fox, a, b"), 2], [len("ox, c"), 1]] and np.isnan(text[1]).all()


def test_a_sentence_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphrec\[text\]'"):
        read_dataset(ROWS, items=ITEMS, text_model=tmp_path)
    with pytest.raises(UsageError, match="must be the folder of a sentence-transformers model"):
        read_dataset(ROWS, items=ITEMS, text_model=tmp_path / "none")
