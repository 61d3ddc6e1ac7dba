"""RecBole's atomic files, MovieLens' .dat files, other encodings, and tables that other libraries hold."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from graphrec.data import Dataset, IdMap, Part, build_dataset, check_dataset, read_dataset
from graphrec.data.text import TextForm, as_text
from graphrec.errors import DataError, UsageError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ATOMIC = {
    "shop.inter": INTER + "ann\t007\t4.0\t3.0\nann\t7\t2\t1e1\nbob\t7\t5\t5\n",
    "shop.item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\n7\tToy Story\tAnimation War\ncold\tHeat\t\n",
    "shop.user": "user_id:token\tage:float\nann\t24\n",
    "shop.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tby\tm.2\nm.3\tby\t7\n7\tby\tm.9\n",
    "shop.link": "item_id:token\tentity_id:token\n007\tm.1\n7\tm.3\nnew\tm.9\n",
}


def names(ids: IdMap) -> list[str]:
    return ids.names(range(len(ids))).tolist()


def pairs(data: Dataset, *parts: Part) -> set[tuple[str, str]]:
    user, item = data.interactions.select(*(parts or tuple(Part)))
    return set(zip(data.users.names(user), data.items.names(item), strict=True))


def triples(data: Dataset) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    edges = zip(data.knowledge.head.tolist(), data.knowledge.tail.tolist(), strict=True)
    return {(data.node_id(head), data.node_id(tail)) for head, tail in edges}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_atomic_files(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path, ATOMIC), columns={"title": "movie_title"})
    assert names(data.items) == ["007", "7", "cold", "new"]
    assert data.interactions.rating.tolist() == [4, 2, 5] and data.interactions.timestamp.tolist() == [3, 10, 5]
    assert data.source["split"] == "last" and pairs(data, Part.TEST) == {("ann", "7")}
    assert data.item_table.column_names == ["title", "class"] and data.item_title(1) == "Toy Story"
    assert data.user_table.to_pydict() == {"age": ["24", None]}
    assert triples(data) == {
        (("item", "007"), ("entity", "m.2")),
        (("item", "7"), ("entity", "7")),  # the entity 7 is not the item 7: m.3 is
        (("entity", "7"), ("item", "new")),  # linked, and used by nobody
    }
    assert data.source["rows"] == {"interactions": 3, "knowledge": 3, "links": 3, "items": 2, "users": 1}


def test_atomic_files_past_memory(tmp_path: Path) -> None:
    folder = write(tmp_path / "shop", ATOMIC)
    large = build_dataset(folder, tmp_path / "graph", memory="1GB")
    assert large.fingerprint() == read_dataset(folder).fingerprint()
    assert check_dataset(large) == check_dataset(read_dataset(folder))


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_a_split_in_atomic_files(tmp_path: Path, memory: str | None) -> None:
    rows = {"train": "ann\tx\t1\t1\nann\ty\t1\t2\n", "valid": "bob\ty\t1\t3\n", "test": "ann\tz\t1\t4\n"}
    data = read_dataset(
        write(tmp_path, {f"shop.{part}.inter": INTER + text for part, text in rows.items()}), memory=memory
    )
    assert data.source["split"] == "given" and data.source["rows"] == {"interactions": 3, "test": 1}
    assert pairs(data, Part.TEST) == {("ann", "z")}
    assert pairs(data, Part.FIT) == {("ann", "x"), ("ann", "y"), ("bob", "y")}


def test_one_atomic_file_is_a_table(tmp_path: Path) -> None:
    folder = write(tmp_path, ATOMIC)
    data = read_dataset(folder / "shop.inter", items=folder / "shop.item", columns={"item_id": "item_id:token"})
    assert names(data.items) == ["007", "7", "cold"] and len(data.knowledge) == 0


def test_knowledge_of_the_callers_own_is_not_linked(tmp_path: Path) -> None:
    own = pd.DataFrame({"head": ["7"], "relation": ["by"], "tail": ["m.1"]})
    assert triples(read_dataset(write(tmp_path, ATOMIC), knowledge=own)) == {(("item", "7"), ("entity", "m.1"))}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"other.inter": INTER}, r"more than one data set: other\.inter, shop\.inter"),
        ({"shop.train.inter": INTER}, r"more than one data set: shop\.inter, shop\.train\.inter"),
        (
            {"shop.link": "item_id:token\tentity_id:token\n7\tm.1\n007\tm.1\n"},
            r"line 3: entity_id 'm\.1' was described b",
        ),
        ({"shop.kg": "head:token\trelation_id:token\nm\tby\n"}, "the knowledge table has no column 'tail_id'"),
        ({"shop.inter": INTER + "ann\tx\tgood\t1\n"}, r"shop\.inter, line 2: rating 'good' is not a number"),
    ],
)
def test_atomic_files_that_cannot_be(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(write(tmp_path, ATOMIC | files))


def test_what_a_folder_with_known_columns_refuses(tmp_path: Path) -> None:
    folder = write(tmp_path, {"shop.train.inter": ATOMIC["shop.inter"], "shop.test.inter": ATOMIC["shop.inter"]})
    with pytest.raises(UsageError, match="has test rows of its own"):
        read_dataset(folder, test=folder / "shop.test.inter")
    with pytest.raises(
        DataError, match="neither the items nor the users have a column 'movi' for title\nthey have age"
    ):
        read_dataset(folder, users=pd.DataFrame({"user_id": ["ann"], "age": ["1"]}), columns={"title": "movi"})
    with pytest.raises(UsageError, match="its files have known columns"):
        read_dataset(folder, header=["user_id", "item_id"])
    (folder / "shop.train.inter").unlink()
    with pytest.raises(DataError, match=r"has no shop\.train\.inter"):
        read_dataset(folder)


def test_movielens_files(tmp_path: Path) -> None:
    files = {
        "ratings.dat": "1::11::5::978300760\n1::2::3::978302109\n2::11::4.5::978301968\n",
        "movies.dat": '2::"Great" Misérables, Les (1995)::Drama|Musical\n11::Toy: Story::Animation\n'.encode("latin-1"),
        "users.dat": "1::F::1::10::48067\n",
    }
    with pytest.raises(DataError, match=r"movies\.dat, line 1: not UTF-8 text\n.*--encoding: latin-1"):
        read_dataset(write(tmp_path, files))
    data = read_dataset(tmp_path, encoding="latin-1")
    assert [data.item_title(index) for index in (0, 1)] == ["Toy: Story", '"Great" Misérables, Les (1995)']
    assert data.user_table["zip_code"].to_pylist() == ["48067", None]
    assert data.interactions.timestamp.tolist() == [978300760, 978302109, 978301968]
    alone = read_dataset(tmp_path / "ratings.dat", items=tmp_path / "movies.dat", encoding="latin-1")
    assert (
        alone.fingerprint()
        == read_dataset(tmp_path, users=pd.DataFrame({"user_id": ["1"]}), encoding="latin-1").fingerprint()
    )


def test_a_dat_file_with_tabs_and_a_header(tmp_path: Path) -> None:
    path = write(tmp_path, {"plays.dat": "userID\tartistID\tweight\n2\ta::b\t13883\n"}) / "plays.dat"
    data = read_dataset(path, columns={"user_id": "userID", "item_id": "artistID"})
    assert pairs(data) == {("2", "a::b")} and data.interactions.weight.tolist() == [13883]


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_delimiters_of_several_characters(tmp_path: Path, memory: str | None) -> None:
    path = write(tmp_path, {"log.csv": 'a||x|y||4\nb||"x"||bad\nc||z\n\nd||z||5\n'}) / "log.csv"
    form: dict[str, Any] = {"header": ["user_id", "item_id", "rating"], "delimiter": "||", "memory": memory}
    with pytest.raises(DataError, match=r"log\.csv, line 2: rating 'bad' is not a number"):
        read_dataset(path, **form)
    data = read_dataset(path, **form, on_bad_row="skip")
    assert pairs(data) == {("a", "x|y"), ("d", "z")}
    assert [row["line"] for row in data.source["skipped"]["first"]] == [2, 3]
    path.write_text('aéxé4\nbé"x"ébad\n', encoding="utf-8")
    assert pairs(read_dataset(path, **form | {"delimiter": "é"}, on_bad_row="skip")) == {("a", "x")}
    path.write_text("a||x||1\na||x\x1fy||4\n")
    with pytest.raises(DataError, match="control character"):
        read_dataset(path, **form)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1 << 20])
def test_delimiters_across_chunks(tmp_path: Path, size: int) -> None:
    text = "1::2::a:b:\n:x::é::::y:"
    stream = as_text(write(tmp_path, {"a.csv": text}) / "a.csv", TextForm(["a"], "::")).stream()
    found = b"".join(iter(lambda: stream.read(size), b""))
    assert found.decode() == text.replace("::", "\x1f")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("memory", [None, "1GB"])
def test_other_encodings(tmp_path: Path, encoding: str, memory: str | None) -> None:
    text = 'user_id,item_id,rating\r\nzoë,x,4\r\nann,"y,é",3\r\nbob,x,bad\r\n'
    path = write(tmp_path, {"log.csv": text.encode(encoding)}) / "log.csv"
    with pytest.raises(DataError, match=r"line 4: rating 'bad' is not a number"):
        read_dataset(path, encoding=encoding, memory=memory)
    data = read_dataset(path, encoding=encoding, memory=memory, on_bad_row="skip")
    assert pairs(data) == {("zoë", "x"), ("ann", "y,é")}


def test_the_ids_of_vectors_in_another_encoding(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.ones((1, 2)))
    log = write(
        tmp_path, {"log.csv": "user,item\nann,é\n".encode("latin-1"), "image_ids.csv": "id\né\n".encode("latin-1")}
    )
    options: dict[str, Any] = {"header": ["user_id", "item_id"], "encoding": "latin-1"}
    data = read_dataset(log / "log.csv", item_vectors={"image": tmp_path / "image.npy"}, **options)
    assert np.isfinite(data.features["item"]["image"]).tolist() == [[False, False], [True, True]]  # item, é


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_text_of_another_encoding_than_it_is_said_to_have(tmp_path: Path, memory: str | None) -> None:
    path = write(tmp_path, {"log.csv": "user_id,item_id\nzoë,x\n".encode("latin-1")}) / "log.csv"
    for encoding in ("ascii", "utf-16"):  # of which each file says its byte order
        with pytest.raises(DataError, match=rf"log\.csv: not {encoding} text"):
            read_dataset(path, encoding=encoding, memory=memory)


class Frame:
    """A table that can do nothing but give its rows, as polars' and others' do."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_tables_of_other_libraries() -> None:
    rows = "(VALUES ('007', 1, 4.5, TIMESTAMP '1970-01-01 00:00:12'), ('7', 2, 3.0, TIMESTAMP '1970-01-02')) t"
    query = f"SELECT * FROM {rows}(user_id, item_id, rating, timestamp)"
    relation = duckdb.connect().sql(query)
    data = read_dataset(
        relation, items=Frame(pa.table({"item_id": pa.array(["1"], pa.string_view()), "title": ["One"]}))
    )
    assert pairs(data) == {("007", "1"), ("7", "2")} and data.interactions.timestamp.tolist() == [12, 86_400]
    assert data.item_title(0) == "One"
    assert data.source["files"] == {"interactions": "DuckDBPyRelation", "items": "Frame"}
    wrong = duckdb.connect().sql(query.replace("4.5", "'inf'::DOUBLE"))
    with pytest.raises(DataError, match=r"interactions \(DuckDBPyRelation\), row 1: rating inf is not a number"):
        read_dataset(wrong)


def test_the_answer_of_a_database() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE log (user_id INTEGER, item_id TEXT, rating REAL)")
    database.executemany("INSERT INTO log VALUES (?, ?, ?)", [(7, "x", 4.5), (8, "x", 1.0), (8, "NA", 2.5)])
    data = read_dataset(pd.read_sql("SELECT * FROM log", database))
    database.close()
    assert pairs(data) == {("7", "x"), ("8", "x"), ("8", "NA")} and data.interactions.rating.tolist() == [4.5, 2.5, 1.0]


@pytest.mark.parametrize("source", [[("a", "x")], {"user_id": ["a"]}, 7, None])
def test_what_is_no_table(source: Any) -> None:
    with pytest.raises(UsageError, match="interactions must be a path, a DataFrame or an Arrow table, got"):
        read_dataset(source)
