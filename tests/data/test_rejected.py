"""With --on-bad-row skip no row vanishes: counted, the first five shown, all kept in rejected.csv with their text."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrec.data import build_dataset, read_dataset
from graphrec.data.large import Listener, Progress
from graphrec.data.large import parts as large_parts
from graphrec.data.large import rows as large_rows

large_ingest = sys.modules["graphrec.data.large.ingest"]  # the package has a function of that name
HEAD = "user_id,item_id,rating\n"
BAD = {  # line → text, reason
    3: ("ann,y", "2 fields where 3 were expected"),
    5: (',"x, 1",2', "user_id is empty"),
    6: ('bob,"y\nz",2', "item_id 'y\\nz' holds a line break or NUL, or more than 65,536 bytes"),
    8: ("bob,y,high", "rating 'high' is not a number"),
    9: ("bob,,nan", "item_id is empty"),
    42: ("zoë,x,1,", "4 fields where 3 were expected"),
    43: ("zoë,x,inf", "rating 'inf' is not a number"),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A file with the bad rows above between good ones."""
    lines, number = [HEAD.strip()], 2
    while number <= 45:
        text = BAD.get(number, (f"u{number},i{number % 3},4", ""))[0]
        lines.append(text)
        number += 1 + text.count("\n")
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_parts, "TEXT_BYTES", 60)
    monkeypatch.setattr(large_rows, "ROWS", 5)
    monkeypatch.setattr(large_rows, "COMMIT_ROWS", 10)


def rejected(folder: Path) -> list[dict[str, str]]:
    with open(folder / "rejected.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected(path: Path) -> list[dict[str, str]]:
    return [
        {"file": str(path), "line": str(line), "reason": reason, "row": text} for line, (text, reason) in BAD.items()
    ]


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_all_bad_rows_are_kept(tmp_path: Path, log: Path, memory: str | None) -> None:
    data = build_dataset(log, tmp_path / "graph", on_bad_row="skip", memory=memory)
    assert rejected(tmp_path / "graph") == expected(log)
    skipped = data.source["skipped"]
    assert skipped["count"] == len(BAD) and data.source["rows"]["interactions"] == len(BAD) + len(data.interactions)
    assert skipped["first"] == [
        {"file": str(log), "line": line, "reason": reason} for line, (_, reason) in itertools.islice(BAD.items(), 5)
    ]


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_no_bad_row_no_file(tmp_path: Path, log: Path, memory: str | None) -> None:
    out = tmp_path / "graph"
    build_dataset(log, out, on_bad_row="skip", memory=memory)
    log.write_text(HEAD + "ann,x,1\nbob,x,2\n")
    build_dataset(log, out, on_bad_row="skip", memory=memory)
    assert not (out / "rejected.csv").exists()


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_bad_rows_of_all_tables_stand_in_one_file(tmp_path: Path, log: Path, memory: str | None) -> None:
    knowledge = pd.DataFrame({"head": ["i1", None], "relation": ["by", "by"], "tail": ["m", "n"]})
    items = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": ["i1", "i1"], "title": ["One", "Zwei"]}), items)
    vectors = pa.table({"id": ["i1", "i2"], "v": [[1.0], [float("nan")]]})
    options: dict[str, Any] = {"knowledge": knowledge, "items": items, "item_vectors": {"image": vectors}}
    data = build_dataset(log, tmp_path / "graph", on_bad_row="skip", memory=memory, **options)
    found = rejected(tmp_path / "graph")
    assert found[:-3] == expected(log) and data.source["skipped"]["count"] == len(found) == len(BAD) + 3
    by_file = {
        row["file"]: (row["line"], row["reason"], json.loads(row["row"]) if "{" in row["row"] else row["row"])
        for row in found[-3:]
    }
    assert by_file == {
        "knowledge (DataFrame)": ("2", "head is empty", {"head": None, "relation": "by", "tail": "n"}),
        str(items): ("2", "item_id 'i1' was described before", {"item_id": "i1", "title": "Zwei"}),
        "item vectors image": ("2", "its vector holds NaN or infinity", "i2"),
    }


class Stopping(Listener):
    """Stops a build after some rows."""

    def __init__(self, step: str, after: int) -> None:
        self._step, self._after = step, after

    def progressed(self, progress: Progress) -> None:
        if progress.step == self._step and progress.done >= self._after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("step", "after"), [("read", 20), ("read", 60), ("sort", 0)])
def test_an_interrupted_build_keeps_each_bad_row_once(
    tmp_path: Path, log: Path, step: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_ingest, "QUIET", 0.0)
    folder, out = tmp_path / "parts", tmp_path / "graph"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.csv").write_bytes(log.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        build_dataset(folder, out, on_bad_row="skip", listener=Stopping(step, after))
    build_dataset(folder, out, on_bad_row="skip")
    assert rejected(out) == expected(folder / "a.csv") + expected(folder / "b.csv")
    assert {path.name for path in out.iterdir()} == {"ids", "tables", "dataset.json", "rejected.csv"}


def test_bad_rows_of_parquet_parts(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["a", None, "b"] * 4, "item_id": ["x", "x", ""] * 4})
    pq.write_table(table, tmp_path / "log.parquet")
    build_dataset(tmp_path / "log.parquet", tmp_path / "graph", on_bad_row="skip", memory="1GB")
    found = rejected(tmp_path / "graph")
    assert [int(row["line"]) for row in found] == [2, 3, 5, 6, 8, 9, 11, 12]
    assert {row["row"] for row in found} == {
        '{"user_id": null, "item_id": "x"}',
        '{"user_id": "b", "item_id": ""}',
    }


def test_reading_without_a_folder_counts_them(log: Path) -> None:
    assert read_dataset(log, on_bad_row="skip").source["skipped"]["count"] == len(BAD)
