"""Strange knowledge and splits, and files that fail: one stated answer each (docs/trust.md)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from graphrec.data import Dataset, Part, build_dataset, check_dataset, read_dataset, reading, tables
from graphrec.data.large import Listener, memory
from graphrec.data.large import parts as large_parts
from graphrec.errors import DataError

LOG = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"]})


def with_knowledge(*triples: tuple[str, str, str], **options: Any) -> Dataset:
    return read_dataset(LOG, knowledge=pd.DataFrame(triples, columns=["head", "relation", "tail"]), **options)


def triples(data: Dataset) -> list[tuple[str, str, str]]:
    graph = data.knowledge
    edges = zip(graph.head.tolist(), graph.relation.tolist(), graph.tail.tolist(), strict=True)
    return [(data.node_id(head)[1], graph.relations[relation], data.node_id(tail)[1]) for head, relation, tail in edges]


def test_self_loops_are_kept_and_counted() -> None:
    data = with_knowledge(("x", "by", "x"), ("x", "by", "m"))
    assert triples(data) == [("x", "by", "x"), ("x", "by", "m")]
    assert check_dataset(data)["knowledge"]["self_loops"] == 1


def test_several_relations_between_one_pair() -> None:
    data = with_knowledge(("x", "by", "m"), ("x", "about", "m"), ("x", "by", "m"))
    assert triples(data) == [("x", "about", "m"), ("x", "by", "m")] and data.source["duplicate_triples"] == 1


def test_triples_in_both_directions() -> None:
    assert triples(with_knowledge(("x", "by", "m"), ("m", "by", "x"))) == [("x", "by", "m"), ("m", "by", "x")]


def test_knowledge_that_mentions_no_item() -> None:
    with pytest.raises(
        DataError, match=r"^GR010 the knowledge mentions no item: it has 'i1', the items 'x'\nwrite the items in"
    ):
        with_knowledge(("i1", "by", "m"), ("i2", "by", "m"))
    trust = pd.DataFrame({"head": ["ann"], "relation": ["trusts"], "tail": ["bob"]})
    typed = trust.assign(head_type="user", tail_type="user")
    assert triples(read_dataset(LOG, knowledge=typed)) == [("ann", "trusts", "bob")]


def test_one_item_under_two_ids() -> None:
    items = pd.DataFrame({"item_id": ["x", "x2"], "title": ["Heat", "Heat"]})
    data = with_knowledge(("x", "same_as", "x2"), items=items)
    assert data.items.names(range(3)).tolist() == ["x", "x2", "y"]  # two items: nothing is merged by its title
    assert triples(data) == [("x", "same_as", "x2")]


def test_a_relation_with_one_edge() -> None:
    found = check_dataset(with_knowledge(("x", "by", "m"), ("y", "by", "m"), ("y", "once", "m")))
    assert found["knowledge"]["relations"] == {"by": 2, "once": 1}


def test_entities_of_no_triple(tmp_path: Path) -> None:
    for name, text in {
        "train.txt": "0 0 1\n",
        "kg_final.txt": "0 0 2\n",
        "entity_list.txt": "org_id remap_id\na 2\nb 3\nc 4\n",
    }.items():
        (tmp_path / name).write_text(text)
    data = read_dataset(tmp_path)
    assert data.num_entities == 3 and check_dataset(data)["knowledge"]["unlinked_entities"] == 2


def test_users_and_items_of_one_side_of_the_split() -> None:
    test = pd.DataFrame({"user_id": ["bob", "new"], "item_id": ["cold", "x"]})
    data = read_dataset(LOG, test=test)
    found = check_dataset(data)
    assert found["test_users"] == 2 and found["test_users_without_train"] == 1  # new; ann has no test rows
    assert found["cold_items"]["count"] == 1 and found["cold_users"]["count"] == 1
    user, _ = data.interactions.select(Part.TEST)
    assert data.users.names(user).tolist() == ["bob", "new"]


def test_a_folder_where_a_file_is_meant(tmp_path: Path) -> None:
    (tmp_path / "kg.csv").mkdir()
    for table in ("knowledge", "items", "users"):
        options: dict[str, Any] = {table: tmp_path / "kg.csv"}
        with pytest.raises(
            DataError, match=rf"kg\.csv: is a folder, and the {table} table must be a file\nname the file"
        ):
            read_dataset(LOG, **options)
    with pytest.raises(DataError, match=r"kg\.csv: holds no parts of the interactions table"):
        read_dataset(tmp_path / "kg.csv")


@pytest.mark.parametrize("limit", [None, "1GB"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\nann,x\n")
    module = tables if limit is None else large_parts
    opened = module.open_delimited

    def appended(*arguments: Any) -> Any:
        found = opened(*arguments)
        with open(path, "a") as log:
            log.write("bob,y\n")
        return found

    monkeypatch.setattr(module, "open_delimited", appended)
    with pytest.raises(DataError, match=r"log\.csv: has changed while .* read\nrun the same command again"):
        read_dataset(path, memory=limit)


def test_a_known_folder_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.txt").write_text("0 1\n")
    monkeypatch.setattr(
        "graphrec.data.formats.read_lists_folder", lambda path: (path / "train.txt").write_text("0 1 2\n")
    )
    with pytest.raises(DataError, match=r"train\.txt: has changed while it was being read"):
        read_dataset(tmp_path)


def refuse(*arguments: Any, **options: Any) -> Any:
    raise PermissionError(13, "Permission denied", "log.csv")


@pytest.mark.parametrize("limit", [None, "1GB"])
def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\nann,x\n")
    monkeypatch.setattr("graphrec.data.text.open", refuse, raising=False)
    for reader in (read_dataset, lambda source, **options: build_dataset(source, tmp_path / "graph", **options)):
        with pytest.raises(
            DataError, match=r"^GR011 log\.csv: Permission denied\ncheck the path, and that you may read it$"
        ):
            reader(path, memory=limit)
    assert not (tmp_path / "graph" / "dataset.json").exists()


def test_a_folder_of_parts_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\nann,x\n")
    (tmp_path / "more").mkdir()
    scan = os.scandir

    def scandir(place: Any) -> Any:
        return refuse() if str(place).endswith("more") else scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="Permission denied"):
        read_dataset(tmp_path)


def test_too_little_memory_is_told_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n" + "".join(f"u{n},i{n % 50}\n" for n in range(1000)))

    class Working(Listener):
        def progressed(self, progress: Any) -> None:
            raise AssertionError("the work has begun")

    with pytest.raises(DataError, match=r"100MB of memory is too little for about [\d,]+ ids") as caught:
        build_dataset(path, tmp_path / "graph", memory="100MB", listener=Working())
    needed = re.fullmatch(r"give at least (\d+MB) with --memory", caught.value.hint)
    assert needed is not None and memory.parse_memory(needed[1]) > memory.parse_memory("100MB")
    build_dataset(path, tmp_path / "graph", memory=needed[1])


def test_reading_says_what_the_system_says() -> None:
    with pytest.raises(DataError, match="the disk is on fire"), reading._readable():
        raise OSError("the disk is on fire")
