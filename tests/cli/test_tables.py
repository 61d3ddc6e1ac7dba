"""check and build: what a newcomer's tables look like, right and wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.calling import TABLES, Call

GOOD = "user_id,item_id\nann,i1\nann,i2\nbob,i2\nbob,i3\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_check_counts_what_the_tables_hold(call: Call, tables: Path) -> None:
    described = [f"--{name}={tables / name}.csv" for name in TABLES]
    found = call("check", tables / "interactions.csv", *described, "--json").json
    assert (found["users"], found["items"]) == (60, 40)
    assert found["titles"] == 40
    people = call("check", tables / "interactions.csv", *described)
    assert people.status == 0
    assert "interactions (split: last)" in people.out
    assert "reaches 100% of the items" in people.out
    assert "next: graphrec build" in people.err


def test_build_reports_the_graph_and_says_what_is_next(call: Call, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    done = call("build", tables / "interactions.csv", "--knowledge", tables / "knowledge.csv", "--out", out, "--json")
    assert done.status == 0
    assert done.json["nodes"]["user"] == 60
    assert "interacts" in done.json["edges"]
    assert f"graphrec train {out}" in done.err


def test_build_writes_over_a_graph_folder_only_when_asked(
    call: Call, tables: Path, graph: Path, tmp_path: Path
) -> None:
    source, out = tables / "interactions.csv", tmp_path / "graph"
    assert call("build", source, "--out", out, "--split=last").status == 0
    refused = call("build", source, "--out", out, "--split=random")
    assert refused.status == 1
    assert "--overwrite" in refused.err
    assert call("build", source, "--out", out, "--split=random", "--overwrite").status == 0
    written(out / "notes.txt", "mine")
    foreign = call("build", source, "--out", out, "--overwrite")
    assert foreign.status == 1
    assert "not a graph folder" in foreign.err
    assert call("build", source, "--out", out / "notes.txt").status == 1


def test_build_never_writes_over_a_run(call: Call, tables: Path, run: Path) -> None:
    before = (run / "dataset.json").read_bytes()
    assert call("build", tables / "interactions.csv", "--out", run, "--overwrite").status == 1
    assert (run / "dataset.json").read_bytes() == before


def test_columns_headers_and_delimiters(call: Call, tmp_path: Path) -> None:
    renamed = written(tmp_path / "renamed.csv", GOOD.replace("user_id", "customer").replace("item_id", "sku"))
    columns = ("--column=user_id=customer", "--column=item_id=sku")
    assert call("check", renamed, *columns, "--json").json["users"] == 2
    bare = written(tmp_path / "bare.csv", GOOD.split("\n", 1)[1])
    assert call("check", bare, "--header=user_id,item_id", "--json").json["items"] == 3
    tabbed = written(tmp_path / "tabbed.csv", GOOD.replace(",", "\t"))
    for name in ("tab", "\\t", "\t"):
        assert call("check", tabbed, "--delimiter", name, "--json").json["users"] == 2
    rated = written(tmp_path / "rated.csv", "user_id,item_id,rating\nann,i1,5\nann,i2,1\nbob,i2,4\n")
    assert call("check", rated, "--min-rating=3", "--json").json["interactions"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("user_id,item_id\n", "no rows"),
        ("customer,item_id\nann,i1\n", "no column 'user_id'"),
        (GOOD.replace(",", ";"), "--delimiter ';'"),
        (GOOD + "cy,i1,extra\n", "line 6: 3 fields where 2 were expected"),
        (GOOD + "cy\n", "line 6: 1 fields where 2 were expected"),
        (GOOD + ",i1\n", "line 6: user_id is empty"),
    ],
)
def test_bad_tables_exit_with_1_and_say_where(call: Call, tmp_path: Path, text: str, message: str) -> None:
    for command in (("check",), ("build", "--out", tmp_path / "graph")):
        done = call(*command, written(tmp_path / "bad.csv", text))
        assert done.status == 1
        assert message in done.err
        assert "bad.csv" in done.err
        assert "Traceback" not in done.err
    assert not (tmp_path / "graph").exists()


def test_bad_rows_are_skipped_only_when_asked(call: Call, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.csv", GOOD + "cy\n,i1\n")
    checked = call("check", bad, "--on-bad-row=skip", "--json").json
    assert checked["source"]["skipped"]["count"] == 2
    people = call("check", bad, "--on-bad-row=skip")
    assert "bad.csv: user_id is empty (the number is its line)" in people.out
    built = call("build", bad, "--on-bad-row=skip", "--out", tmp_path / "graph")
    assert built.status == 0
    assert f"2 bad rows were left out; they are in {tmp_path / 'graph' / 'rejected.csv'}" in built.err
    assert (tmp_path / "graph" / "rejected.csv").read_text().count("\n") == 1 + 2
    again = call("build", bad, "--on-bad-row=skip", "--out", tmp_path / "graph", "--overwrite")
    assert again.status == 0


def test_a_missing_file_names_the_nearest(call: Call, tables: Path) -> None:
    done = call("check", tables / "interaction.csv")
    assert done.status == 1
    assert "did you mean interactions.csv" in done.err


@pytest.mark.parametrize(
    "options",
    [("--split=lasst",), ("--on-bad-row=skipp",), ("--column=user_id",), ("--column=usr=a",), ("--encoding=utf-9",)],
)
def test_wrong_options_exit_with_2(call: Call, tables: Path, options: tuple[str, ...]) -> None:
    done = call("check", tables / "interactions.csv", *options)
    assert done.status == 2
    assert done.err.startswith("graphrec: ")


def test_a_single_user_can_be_built(call: Call, tmp_path: Path) -> None:
    one = written(tmp_path / "one.csv", "user_id,item_id\nann,i1\nann,i2\nann,i3\n")
    assert call("build", one, "--out", tmp_path / "graph").status == 0


def test_parts_are_built_past_memory(call: Call, tmp_path: Path) -> None:
    rows = [f"u{n % 7},i{n % 11}\n" for n in range(60)]
    (tmp_path / "parts").mkdir()
    for name, some in (("0.csv", rows[:30]), ("1.csv", rows[30:])):
        written(tmp_path / "parts" / name, "user_id,item_id\n" + "".join(some))
    whole = written(tmp_path / "whole.csv", "user_id,item_id\n" + "".join(rows))
    small = call("build", whole, "--out", tmp_path / "small", "--json").json
    for source, options in ((tmp_path / "parts", ()), (whole, ("--memory=1GB",)), (tmp_path / "parts/*.csv", ())):
        out = tmp_path / "large"
        done = call("build", source, "--out", out, "--json", "--overwrite", *options)
        assert done.status == 0, done.err
        assert "about 60 rows, 7 users, 11 items; memory: up to" in done.err
        assert re.search(r"sorting and joining rows: 60 of 60, \d\.\d s, done", done.err)
        estimate = done.json["estimate"]
        assert done.json == small | {"estimate": estimate} and estimate["rows"] == 60
        for name in ("user", "item", "part", "count"):
            column = f"tables/interactions/{name}.npy"
            assert (out / column).read_bytes() == (tmp_path / "small" / column).read_bytes()
    checked = call("check", tmp_path / "parts", "--memory=1GB", "--json")
    assert checked.json["interactions"] == 60 and "reading rows" in checked.err


def test_memory_that_cannot_be(call: Call, tables: Path, tmp_path: Path) -> None:
    for size in ("much", "4", "0", "-4GB", "4 apples"):
        done = call("build", tables / "interactions.csv", "--memory", size, "--out", tmp_path / "graph")
        assert done.status == 2
        assert "memory must be a size such as 500MB" in done.err
    done = call("build", tables / "interactions.csv", "--memory=20MB", "--out", tmp_path / "graph")
    assert done.status == 1
    assert "20MB of memory is too little for about" in done.err
    assert "give at least" in done.err and "with --memory" in done.err
    plain = call("build", tables / "interactions.csv", "--memory=20000000", "--out", tmp_path / "graph")
    assert plain.err == done.err


def test_unfinished_work_is_gone_on_with_or_replaced(call: Call, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    (out / ".building").mkdir(parents=True)
    assert call("build", tables / "interactions.csv", "--out", out).status == 0
    assert not (out / ".building").exists()
    (out / ".building").mkdir()
    again = call("build", tables / "interactions.csv", "--memory=1GB", "--out", out)
    assert "holds a graph already" in again.err
    again = call("build", tables / "interactions.csv", "--memory=1GB", "--out", out, "--overwrite")
    assert again.status == 0
    assert "starting anew" in again.err


def test_vectors_and_text_become_features(call: Call, tables: Path, tmp_path: Path) -> None:
    image = written(tmp_path / "image_ids.csv", "id\ni1\ni2\nnone\n").with_name("image.npy")
    np.save(image, np.eye(3))
    source = [tables / "interactions.csv", "--items", tables / "items.csv", f"--item-vectors=image={image}"]
    refused = call("check", *source)
    assert refused.status == 1 and "image.npy, row 3: there is no item 'none'" in refused.err
    done = call("build", *source, "--on-bad-row=skip", "--out", tmp_path / "graph")
    assert done.status == 0
    assert "features item.image: 3 numbers, 2 rows" in done.err and "1 vectors of unknown ids were left out" in done.err
    assert (tmp_path / "graph" / "tables" / "features" / "item.text.npy").exists()
    wrong = call("check", *source[:3], "--item-vectors", image)
    assert wrong.status == 2 and "--item-vectors must be NAME=VALUE" in wrong.err
