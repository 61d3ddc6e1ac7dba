"""Tables and folders to a Dataset, by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrec.data import Dataset, IdMap, Part, check_dataset, read_dataset
from graphrec.errors import DataError


def names(ids: IdMap) -> list[str]:
    return ids.names(np.arange(len(ids))).tolist()


def pairs(data: Dataset, *parts: Part) -> set[tuple[str, str]]:
    user, item = data.interactions.select(*(parts or tuple(Part)))
    return set(zip(data.users.names(user), data.items.names(item), strict=True))


def triples(data: Dataset) -> list[tuple[tuple[str, str], str, tuple[str, str]]]:
    graph = data.knowledge
    edges = zip(graph.head.tolist(), graph.relation.tolist(), graph.tail.tolist(), strict=True)
    return [(data.node_id(head), graph.relations[relation], data.node_id(tail)) for head, relation, tail in edges]


def same(first: Dataset, second: Dataset) -> None:
    for kind in ("users", "items", "entities"):
        assert names(getattr(first, kind)) == names(getattr(second, kind))
    for record in ("interactions", "knowledge"):
        ours, theirs = vars(getattr(first, record)), vars(getattr(second, record))
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name])
            assert getattr(value, "dtype", None) == getattr(theirs[name], "dtype", None)


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def test_text_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(
        b'\xef\xbb\xbfuser_id,note,item_id\r\n007,a,NA\r\n7,"b, ""c""\r\nd",null\r\n\r\n9007199254740993,,x y\r\n'
    )
    data = read_dataset(path)
    assert pairs(data) == {("007", "NA"), ("7", "null"), ("9007199254740993", "x y")}


def test_all_forms_of_a_table_agree(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"user_id": [3, 20, 3], "item_id": ["b", "a", "a"], "rating": [1, 2.5, 3], "timestamp": [5, 6, 7]}
    )
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_csv(tmp_path / "log.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolon.csv", index=False, sep=";")
    frame.to_csv(tmp_path / "bare.txt", index=False, header=False, sep="\t")
    frame.to_parquet(tmp_path / "log.parquet")
    expected = read_dataset(frame)
    assert names(expected.users) == ["20", "3"]  # as strings
    for other in (
        read_dataset(pa.Table.from_pandas(frame)),
        read_dataset(tmp_path / "log.csv"),
        read_dataset(str(tmp_path / "log.tsv")),
        read_dataset(tmp_path / "semicolon.csv", delimiter=";"),
        read_dataset(tmp_path / "bare.txt", header=list(frame.columns)),
        read_dataset(tmp_path / "log.parquet"),
        read_dataset(frame.rename(columns={"user_id": "who"}), columns={"user_id": "who"}),
        read_dataset(frame.astype({"user_id": "category", "item_id": "category"})),
    ):
        same(expected, other)


def test_one_delimiter_serves_tables_of_two_forms(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("a|x\nb|x\n")
    (tmp_path / "kg.csv").write_text("head,relation,tail\nx,by,m\n")
    data = read_dataset(
        tmp_path / "log.txt", header=["user_id", "item_id"], delimiter="|", knowledge=tmp_path / "kg.csv"
    )
    assert triples(data) == [(("item", "x"), "by", ("entity", "m"))]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["12", "3"], [12, 3]),
        (["1970-01-01 00:00:12", "1970-01-02"], [12, 86_400]),
        (["1970-01-01T00:00:12Z", "1970-01-01T01:00:00+01:00"], [12, 0]),
        (["12.0", "1970-01-01T00:00:03.9"], [12, 3]),
        (["9223372036854775807", "1970-01-01"], [2**63 - 1, 0]),  # which is no float
        ([12.0, 3.0], [12, 3]),
        (pd.to_datetime(["1970-01-01 00:00:12", "1970-01-02 00:00:00"]), [12, 86_400]),
    ],
)
def test_times(column: Sequence[object], expected: list[int]) -> None:
    data = read_dataset(pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"], "timestamp": column}))
    assert data.interactions.timestamp.tolist() == expected


def test_duplicates_become_one_edge_with_the_last_rows_values() -> None:
    columns = ["user_id", "item_id", "timestamp", "rating", "weight"]
    rows = [("a", "x", 9, 1, 0.5), ("a", "x", 9, 2, 0.25), ("a", "x", 3, 3, 4.0), ("b", "x", 1, 4, 8.0)]
    data = read_dataset(pd.DataFrame(rows, columns=columns), split="random")
    edges = data.interactions
    assert edges.count.tolist() == [3, 1]
    assert edges.timestamp.tolist() == [9, 1]  # of the two rows at 9, the later one gives the rest
    assert edges.rating.tolist() == [2, 4] and edges.weight.tolist() == [0.25, 8]
    assert data.source["duplicates"] == 4 - 2


def test_low_ratings_are_no_interactions() -> None:
    table = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "z"], "rating": [4.0, 3.5, 5.0]})
    data = read_dataset(table, min_rating=4)
    assert pairs(data) == {("a", "x"), ("b", "z")} and names(data.items) == ["x", "z"]
    assert data.source["below_min_rating"] == 1


def test_a_test_table_stays_as_given() -> None:
    train = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"], "timestamp": [1, 2, 3]})
    test = pd.DataFrame({"user_id": ["a", "c"], "item_id": ["x", "z"]})
    data = read_dataset(train, test=test)
    assert data.source["split"] == "given"
    assert pairs(data, Part.TEST) == {("a", "x"), ("c", "z")}
    assert pairs(data, Part.FIT) == {("a", "x"), ("a", "y"), ("b", "x")}  # a–x is in both
    assert data.interactions.timestamp.tolist() == [1, -1, 2, 3, -1]
    assert check_dataset(data)["pairs_in_train_and_test"] == 1
    assert check_dataset(data)["test_users_without_train"] == 1


def test_names_in_knowledge_get_their_kind() -> None:
    log = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["x", "y"]})
    rows = [
        ("x", "by", "m", "", ""),  # x is in the catalogue, m is not
        ("ann", "likes", "y", "", ""),  # an untyped name is never a user
        ("ann", "trusts", "bob", "user", "user"),
        ("cat", "trusts", "ann", "user", "user"),  # a user without interactions
        ("new", "by", "m", "item", "entity"),  # a cold item
        ("z", "by", "new", "", ""),  # new is in the catalogue now
        ("x", "by", "x", "item", "entity"),  # an entity that shares an item's name
        ("x", "by", "m", "item", ""),  # again
    ]
    knowledge = pd.DataFrame(rows, columns=["head", "relation", "tail", "head_type", "tail_type"])
    items = pd.DataFrame({"item_id": ["z", "y"], "title": ["Zed", None], "year": [1999, 2000]})
    users = pd.DataFrame({"user_id": ["dan"], "town": ["Ghent"]})
    data = read_dataset(log, knowledge=knowledge, items=items, users=users)
    assert names(data.users) == ["ann", "bob", "cat", "dan"]
    assert names(data.items) == ["new", "x", "y", "z"]
    assert names(data.entities) == ["ann", "m", "x"]
    assert data.knowledge.relations == ("by", "likes", "trusts")
    assert sorted(triples(data)) == [
        (("entity", "ann"), "likes", ("item", "y")),
        (("item", "new"), "by", ("entity", "m")),
        (("item", "x"), "by", ("entity", "m")),
        (("item", "x"), "by", ("entity", "x")),
        (("item", "z"), "by", ("item", "new")),
        (("user", "ann"), "trusts", ("user", "bob")),
        (("user", "cat"), "trusts", ("user", "ann")),
    ]
    assert data.source["duplicate_triples"] == 1
    assert data.item_table.to_pydict() == {"title": [None, None, None, "Zed"], "year": [None, None, "2000", "1999"]}
    assert data.user_table.to_pydict() == {"town": [None, None, None, "Ghent"]}
    assert [data.node_name(node) for node in (0, 4 + 3, 4 + 0, 4 + 4 + 1)] == ["ann", "Zed", "new", "m"]
    with pytest.raises(IndexError, match=r"node must be in \[0, 11\), got 11"):
        data.node_id(11)


@given(st.permutations(range(12)), st.sampled_from(["last", "random", "time"]))
def test_the_order_of_the_rows_does_not_matter(order: list[int], split: str) -> None:
    rows = [(f"u{n % 3}", f"i{n * 7 % 5}", 100 + n) for n in range(12)]
    log = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    knowledge = pd.DataFrame({"head": [row[1] for row in rows], "relation": ["b", "a"] * 6, "tail": list("mnop") * 3})
    shuffled = read_dataset(log.iloc[order], knowledge=knowledge.iloc[order], split=split)
    same(read_dataset(log, knowledge=knowledge, split=split), shuffled)


def test_a_folder_of_lists(tmp_path: Path) -> None:
    write(
        tmp_path,
        train="0 10 2\n1 \n3 2\r\n",
        test="0 9\n",
        item_list="org_id remap_id\na 2\nb 9\nc 10\n",
        kg_final="2 1 11\n10 0 30\n2 1 11\n",
        entity_list='entity_id\ttype\tname\n2\titem\tThe "Two\n11\tmaker\tEleven Inc\n12\tmaker\tTwelve\n',
        relation_list="relation_id\tname\n0\tlike\n1\tmade_by\n",
    )
    data = read_dataset(tmp_path)
    assert names(data.users) == ["0", "1", "3"]  # 1 has no items
    assert names(data.items) == ["2", "9", "10"]  # in numeric order
    assert names(data.entities) == ["11", "12", "30"]  # 12 is listed, 30 is linked
    assert pairs(data, Part.TEST) == {("0", "9")}
    assert pairs(data, Part.FIT) == {("0", "2"), ("0", "10"), ("3", "2")}
    assert triples(data) == [
        (("item", "2"), "made_by", ("entity", "11")),
        (("item", "10"), "like", ("entity", "30")),
    ]
    assert [data.item_title(index) for index in range(3)] == ['The "Two', None, None]
    assert data.item_table["original_id"].to_pylist() == ["a", "b", "c"]
    assert data.node_name(3 + 3) == "Eleven Inc" and data.node_name(3 + 5) == "30"
    assert data.source["duplicate_triples"] == 1 and data.source["split"] == "given"


def test_a_folder_of_lists_without_extras(tmp_path: Path) -> None:
    write(tmp_path, train="5 0 3\n", kg_final="3\t7\t4\n1\t7\t3\n", entity_list="org_id remap_id\nm.01 3\nm.02 4\n")
    data = read_dataset(tmp_path)
    assert names(data.items) == ["0", "1", "3"]  # largest item 3, so entity 1 is an item without interactions
    assert names(data.entities) == ["4"] and data.knowledge.relations == ("7",)
    assert data.item_title(2) == "m.01" and data.node_name(1 + 3) == "m.02"
    assert data.source["split"] == "random"


def test_a_folder_of_lists_with_the_order_of_use(tmp_path: Path) -> None:
    write(tmp_path, train="0 1 2\n3 2 1\n4 0\n", test="0 0\n", sequence="3 1 2 1\n0 2 0 1\n")
    data = read_dataset(tmp_path)
    assert data.source["split"] == "given"
    assert data.interactions.timestamp is not None
    place = dict(
        zip(zip(data.interactions.user, data.interactions.item, strict=True), data.interactions.timestamp, strict=True)
    )
    assert place == {(0, 0): 1, (0, 1): 2, (0, 2): 0, (1, 1): 2, (1, 2): 1, (2, 0): -1}  # 1 came twice: the last


def test_a_folder_of_the_order_of_use_alone(tmp_path: Path) -> None:
    write(tmp_path, sequence="3 1 2 1\n1 4 2 5 1\n", item_list="org_id remap_id\nus-1 1\nus-2 2\nus-3 4\neu-4 5\n")
    data = read_dataset(tmp_path)
    assert data.source["split"] == "last" and data.source["duplicates"] == 1
    assert data.features == {}  # what items are called elsewhere tells nothing of them
    assert pairs(data, Part.TEST) == {("1", "1"), ("3", "1")}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": "0 1\n", "sequence": "0 1 2\n"}, "item 2 of user 0 is neither in train.txt nor in test.txt"),
        ({"train": "0 1\n", "sequence": "0 1\n0 1\n"}, "sequence.txt: a user has two lines"),
        ({"sequence": "0 1\n0 1\n"}, "sequence.txt: a user has two lines"),
        ({"sequence": "0 \n"}, r"sequence\.txt: no interactions"),
        ({"train": "0 1\n1 2 x7\n"}, r"train\.txt, line 2: 'x7' is not a whole number"),
        ({"train": "0 1\n1 -2\n"}, r"train\.txt, line 2: '-2' is not a whole number"),
        ({"train": "0 1 1234567890123456789\n"}, r"line 1: '1234567890123456789' is not"),
        ({"train": "0 \n"}, "no interactions"),
        ({"train": ""}, "no interactions"),
        ({"train": "0 1\n", "kg_final": "0 1 2\n\n3 4\n"}, r"kg_final\.txt, line 3: 2 numbers where 3"),
        ({"train": "0 1\n", "item_list": "org_id remap_id\na 0\n"}, "item 1 is not in item_list"),
        ({"train": "0 1\n", "item_list": "org_id remap_id\na b\n"}, "'remap_id' must hold whole numbers"),
        ({"train": "0 1\n", "item_list": "org_id remap_id\na 1\nb 1\n"}, "must hold distinct numbers"),
        ({"train": "0 1\n", "item_list": "id id\n1 1\n"}, r"item_list\.txt: two columns have one name"),
        ({"train": "0 1\n", "item_list": "org_id remap_id\na 1 2\n"}, "item_list.txt: .*Expected 2 columns, got 3"),
        ({"ratings_final": "0\t1\t2\n"}, "label 2 of row 1 is neither 0 nor 1"),
        ({"ratings_final": "0\t1\t0\n"}, "no row has label 1"),
        ({"dataset": "{}"}, "not a known data folder"),
    ],
)
def test_folders_that_break_their_form(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(write(tmp_path, **files))


def test_a_folder_of_labelled_pairs(tmp_path: Path) -> None:
    write(
        tmp_path, ratings_final="0\t1\t1\n0\t2\t0\n1\t0\t1\n", kg_final="0\t0\t3\n1\t1\t3\n", kg="0\tby\t3\n1\tin\t3\n"
    )
    data = read_dataset(tmp_path)
    assert pairs(data) == {("0", "1"), ("1", "0")} and names(data.items) == ["0", "1", "2"]
    assert triples(data) == [(("item", "0"), "by", ("entity", "3")), (("item", "1"), "in", ("entity", "3"))]
    assert len(data.negatives) == data.source["negatives"] == 1
    assert data.source["rows"] == {"interactions": 3, "knowledge": 2}
    write(tmp_path, kg="0\tby\t3\n2\tin\t3\n")  # no longer row for row
    assert read_dataset(tmp_path).knowledge.relations == ("0", "1")


def test_tables_beside_a_folder(tmp_path: Path) -> None:
    write(tmp_path, train="0 10 9\n", kg_final="9 0 11\n")
    items = pd.DataFrame({"item_id": [9, 10, 11], "title": ["nine", "ten", "eleven"]})
    data = read_dataset(
        tmp_path, items=items, knowledge=pd.DataFrame({"head": ["9"], "relation": ["by"], "tail": ["m"]})
    )
    assert names(data.items) == ["9", "10", "11"] and data.item_title(2) == "eleven"
    assert triples(data) == [(("item", "9"), "by", ("entity", "m"))]


def test_a_graph_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    log = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"], "rating": [1.0, 2.0, 3.0]})
    items = pd.DataFrame({"item_id": ["x"], "title": ["Ex"]})
    data = read_dataset(log, items=items, knowledge=pd.DataFrame({"head": ["x"], "relation": ["by"], "tail": ["m"]}))
    data.save(tmp_path / "graph")
    loaded = Dataset.load(tmp_path / "graph")
    same(data, loaded)
    assert loaded.source == data.source and loaded.item_table.equals(data.item_table) and loaded.user_table is None
    assert json.loads((tmp_path / "graph" / "dataset.json").read_text())["version"] == 2
    read_dataset(log).save(tmp_path / "graph")  # over it: nothing of the former is left
    loaded = Dataset.load(tmp_path / "graph")
    assert loaded.item_table is None and len(loaded.knowledge) == 0 and loaded.num_entities == 0


def test_foreign_and_damaged_graph_folders_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=r"graph folder"):
            Dataset.load(folder)
    header = tmp_path / "dataset.json"
    for content, message in (
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ('{"format": "x"}', "not written"),
    ):
        header.write_text(content)
        with pytest.raises(DataError, match=message):
            Dataset.load(tmp_path)
    read_dataset(pd.DataFrame({"user_id": ["a"], "item_id": ["x"]})).save(tmp_path)
    with pytest.raises(DataError, match="a graph folder, built already"):
        read_dataset(tmp_path)
    written = json.loads(header.read_text())
    header.write_text(json.dumps(written | {"version": 99}))
    with pytest.raises(DataError, match="has version 99, this graphrec reads version 2"):
        Dataset.load(tmp_path)
    header.write_text(json.dumps(written))
    (tmp_path / "tables" / "knowledge.parquet").unlink()
    with pytest.raises(DataError, match=r"knowledge\.parquet: missing or damaged"):
        Dataset.load(tmp_path)
    pq.write_table(pa.table({"id": ["a", "b"]}), tmp_path / "ids" / "users.parquet")
    with pytest.raises(DataError, match=r"do not match dataset\.json"):
        Dataset.load(tmp_path)


def test_check_counts_by_hand() -> None:
    log = pd.DataFrame({"user_id": ["a", "a", "b", "a"], "item_id": ["x", "y", "x", "x"], "timestamp": [1, 2, 3, 4]})
    knowledge = pd.DataFrame({"head": ["x", "x"], "relation": ["by", "by"], "tail": ["m", "x"]})
    found = check_dataset(
        read_dataset(log, knowledge=knowledge, items=pd.DataFrame({"item_id": ["z"], "title": ["Z"]}))
    )
    json.dumps(found)
    assert found["interactions"] == 3 and found["density"] == 3 / (2 * 3)
    assert found["rows_per_user"] == {"min": 1, "q25": 1.25, "median": 1.5, "q75": 1.75, "max": 2, "mean": 1.5}
    assert found["parts"] == {"fit": 2, "select": 0, "blend": 0, "test": 1}  # a's newest is x
    assert found["cold_items"] == {"count": 1, "share": 1 / 3} and found["titles"] == 1
    assert found["knowledge"] == {
        "triples": 2,
        "linked_items": {"count": 1, "share": 1 / 3},
        "unlinked_entities": 0,
        "self_loops": 1,
        "relations": {"by": 2},
    }
    assert found["source"]["duplicates"] == 1
