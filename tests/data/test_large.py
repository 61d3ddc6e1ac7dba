"""Building past memory gives what building in memory gives, whatever the rows, and survives interruptions."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec.data import Dataset, Part, build_dataset, check_dataset, read_dataset
from graphrec.data.large import Estimate, Listener, Progress, choice, memory
from graphrec.data.large import parts as large_parts
from graphrec.data.large import rows as large_rows
from graphrec.data.large.estimate import distinct_of
from graphrec.data.split import newest_cut
from graphrec.data.storage import ColumnWriter
from graphrec.errors import DataError, UsageError

large_ingest = sys.modules["graphrec.data.large.ingest"]  # the package has a function of that name
NAMES = ["7", "007", "NA", "é", "z", "\U0001f600", "\uffee", "a b", 'q"q', "x,y"]


def same(first: Dataset, second: Dataset) -> None:
    """Equal in all that a dataset holds, but for the names of its files."""
    assert first.fingerprint() == second.fingerprint()
    for name, ours in vars(first.interactions).items():
        theirs = getattr(second.interactions, name)
        np.testing.assert_array_equal(ours, theirs)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)
    assert first.item_table == second.item_table and first.user_table == second.user_table
    assert first.source | {"files": 0} == second.source | {"files": 0}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Interactions with and without times, ratings and weights."""
    count = draw(st.integers(1, 60))
    names, number = st.sampled_from(NAMES), st.integers(0, 4)
    columns: dict[str, Any] = {
        "user_id": draw(st.lists(names, min_size=count, max_size=count)),
        "item_id": draw(st.lists(names, min_size=count, max_size=count)),
    }
    for name in draw(st.sets(st.sampled_from(["timestamp", "rating", "weight"]))):
        columns[name] = draw(st.lists(number, min_size=count, max_size=count))
    return pa.table(columns)


def write_parts(folder: Path, table: pa.Table, suffix: str, cuts: list[int]) -> Path:
    """The table as files in a folder."""
    folder.mkdir()
    bounds = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        path, part = folder / f"part-{number:03}.{suffix}", table.slice(start, stop - start)
        if suffix == "csv":
            pa_csv.write_csv(part, path)
        else:
            pq.write_table(part, path, row_group_size=7)
    (folder / "_SUCCESS").touch()
    (folder / ".part-000.crc").touch()
    return folder


@pytest.fixture(autouse=True)
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that every border is crossed."""
    monkeypatch.setattr(large_rows, "ROWS", 5)
    monkeypatch.setattr(large_parts, "TEXT_BYTES", 100)
    monkeypatch.setattr(large_rows, "BLOCK", 7)
    monkeypatch.setattr(large_rows.whole_users, "__defaults__", (7,))


@settings(max_examples=60)
@given(
    tables(),
    st.none() | tables(),
    st.sampled_from([None, "random", "last", "time", "given"]),
    st.sampled_from(["csv", "parquet"]),
    st.lists(st.integers(0, 60), max_size=3),
    st.none() | st.integers(0, 4),
)
def test_past_memory_equals_in_memory(
    table: pa.Table, test: pa.Table | None, split: str | None, suffix: str, cuts: list[int], least: int | None
) -> None:
    options: dict[str, Any] = {"split": split, "seed": 3, "min_rating": least}
    with tempfile.TemporaryDirectory() as folder:
        parts = write_parts(Path(folder, "parts"), table, suffix, cuts)
        held = write_parts(Path(folder, "test"), test, suffix, cuts[:1]) if test is not None else None
        try:
            expected = read_dataset(table, test=test, **options)
        except Exception as error:  # whatever is wrong must be wrong in the same way
            with pytest.raises(type(error)) as caught:
                build_dataset(parts, Path(folder, "graph"), test=held, **options)
            assert caught.value.message == error.message
            return
        built = build_dataset(parts, Path(folder, "graph"), test=held, memory="1GB", **options)
        same(expected, built)
        same(expected, Dataset.load(Path(folder, "graph")))
        assert {path.name for path in Path(folder, "graph").iterdir()} == {"ids", "tables", "dataset.json"}


def test_past_memory_newest_rows_are_held_out_too_where_given_test_rows_are_newer(tmp_path: Path) -> None:
    user, place = np.divmod(np.arange(90), 9)
    rows = {"user_id": user.astype(str), "item_id": place.astype(str), "timestamp": place * 7 % 9}
    newest = rows["timestamp"] >= 7
    table, test = (pa.table({name: column[own] for name, column in rows.items()}) for own in (~newest, newest))
    parts, held = write_parts(tmp_path / "parts", table, "csv", [30]), write_parts(tmp_path / "test", test, "csv", [])
    built = build_dataset(parts, tmp_path / "graph", test=held, memory="1GB").interactions
    assert (np.isin(built.part, (Part.SELECT, Part.BLEND)) == np.isin(built.timestamp, (5, 6))).all()


@given(st.lists(st.integers(-1, 5) | st.integers(-1, 2**63 - 1), max_size=40), st.integers(0, 40), st.integers(1, 9))
def test_the_cut_of_the_newest(times: list[int], newest: int, rows: int) -> None:
    column, newest = np.array(times, dtype=np.int64), min(newest, len(times))
    cut = newest_cut(lambda: (column[start : start + rows] for start in range(0, len(column), rows)), newest)
    assert (cut is None) == (newest == 0)
    if cut is not None:
        order = np.argsort(column, kind="stable")
        first = order[len(column) - newest]
        assert cut.time == column[first]
        assert cut.earlier == (np.flatnonzero(column == cut.time) < first).sum()


class Heard(Listener):
    """Keeps what it hears, and may fail at a step."""

    def __init__(self, fail_at: str = "", after: int = 0) -> None:
        self.estimate: Estimate | None = None
        self.notes: list[str] = []
        self.steps: list[str] = []
        self._fail_at, self._after = fail_at, after

    def estimated(self, estimate: Estimate) -> None:
        self.estimate = estimate

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def progressed(self, progress: Progress) -> None:
        self.steps.append(progress.step)
        if progress.step == self._fail_at and progress.done >= self._after:
            raise KeyboardInterrupt


@pytest.fixture
def table() -> pa.Table:
    draw = np.random.default_rng(1)
    columns = {"user_id": draw.integers(0, 9, 80), "item_id": draw.integers(0, 30, 80)}
    return pa.table(columns | {"timestamp": draw.integers(0, 50, 80), "rating": draw.integers(1, 6, 80)})


@pytest.mark.parametrize("step", ["read", "number", "sort", "split"])
@pytest.mark.parametrize("after", [0, 20])
def test_an_interrupted_build_goes_on(
    tmp_path: Path, table: pa.Table, step: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_ingest, "QUIET", 0.0)
    parts = write_parts(tmp_path / "parts", table, "parquet", [30, 50])
    with pytest.raises(KeyboardInterrupt):
        build_dataset(parts, tmp_path / "graph", listener=Heard(step, after if step != "number" else 0))
    assert not (tmp_path / "graph" / "dataset.json").exists()
    heard = Heard()
    same(read_dataset(table), build_dataset(parts, tmp_path / "graph", listener=heard))
    assert heard.notes[0].startswith("going on with the interrupted build")
    assert ("sort" in heard.steps) == (step != "split")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("after", [10, 40, 79])
def test_a_large_part_is_kept_piece_by_piece(
    tmp_path: Path, table: pa.Table, kind: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_ingest, "QUIET", 0.0)
    monkeypatch.setattr(large_rows, "ROWS", 7)
    monkeypatch.setattr(large_rows, "COMMIT_ROWS", 10)
    monkeypatch.setattr(large_parts, "TEXT_BYTES", 100)
    parts = write_parts(tmp_path / "parts", table, kind, [80])
    with pytest.raises(KeyboardInterrupt):
        build_dataset(parts, tmp_path / "graph", listener=Heard("read", after))
    heard = Heard()
    same(read_dataset(table), build_dataset(parts, tmp_path / "graph", listener=heard))
    assert heard.notes[0].startswith("going on with the interrupted build")
    with pytest.raises(KeyboardInterrupt):
        build_dataset(parts, tmp_path / "other", listener=Heard("read", 40))
    shutil.rmtree(parts)  # a part that was begun and is another file now is not mixed with what was read
    write_parts(parts, table.slice(5), kind, [75])
    heard = Heard()
    same(read_dataset(table.slice(5)), build_dataset(parts, tmp_path / "other", listener=heard))
    assert "starting anew" in heard.notes[0]


def test_a_killed_build_goes_on(tmp_path: Path, table: pa.Table) -> None:
    parts = write_parts(tmp_path / "parts", table, "csv", [30, 50])
    program = (
        "import os, signal, sys\n"
        "from graphrec.data import build_dataset\n"
        "from graphrec.data.large import Listener\n"
        "class Deadly(Listener):\n"
        "    def progressed(self, progress):\n"
        "        if progress.step == 'sort': os.kill(os.getpid(), signal.SIGKILL)\n"
        "build_dataset(sys.argv[1], sys.argv[2], listener=Deadly())\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, parts, tmp_path / "graph"], check=False)
    assert killed.returncode == -9
    heard = Heard()
    same(read_dataset(table), build_dataset(parts, tmp_path / "graph", listener=heard))
    assert heard.notes == ["going on with the interrupted build (done: 3 of 3 files read, number)"]


def test_an_interruption_while_files_are_moved(
    tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, out = write_parts(tmp_path / "parts", table, "csv", [30]), tmp_path / "graph"
    described = pa.table({"item_id": ["1"], "title": ["One"]})
    read_dataset(table, items=described).save(out)  # what stands there before
    replace, calls = os.replace, itertools.count()

    def replace_some(source: Path, target: Path) -> None:
        if Path(target).parent == out / "tables" / "interactions" and next(calls) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_some)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(parts, out)
    with pytest.raises(DataError, match="not written to its end"):
        Dataset.load(out)
    same(read_dataset(table), build_dataset(parts, out))
    assert not (out / "tables" / "items.parquet").exists()


def test_other_inputs_or_options_start_anew(tmp_path: Path, table: pa.Table) -> None:
    parts, out = write_parts(tmp_path / "parts", table, "csv", [30]), tmp_path / "graph"
    for change in ("options", "inputs"):
        with pytest.raises(KeyboardInterrupt):
            build_dataset(parts, out, listener=Heard("sort"))
        if change == "inputs":
            table = table.slice(1)
            pa_csv.write_csv(table.slice(0, 29), parts / "part-000.csv")
        options: dict[str, Any] = {"split": "random"} if change == "options" else {}
        heard = Heard()
        same(read_dataset(table, **options), build_dataset(parts, out, listener=heard, **options))
        assert heard.notes == ["the inputs or options are not those of the interrupted build: starting anew"]


def test_a_damaged_part_is_put_right(tmp_path: Path, table: pa.Table) -> None:
    log, out = write_parts(tmp_path / "log", table, "parquet", [30, 50]), tmp_path / "graph"
    whole = (log / "part-002.parquet").read_bytes()
    scratch(log / "part-002.parquet")
    with pytest.raises(DataError, match=r"part-002\.parquet: cannot be read as Parquet"):
        build_dataset(log, out)
    (log / "part-002.parquet").write_bytes(whole)
    heard = Heard()
    same(read_dataset(table), build_dataset(log, out, listener=heard))
    assert heard.notes == ["going on with the interrupted build (done: 2 of 3 files read)"]


def test_users_in_the_path(tmp_path: Path) -> None:
    for user, suffix in itertools.product("ab", ("csv", "parquet")):
        folder = tmp_path / suffix / f"user_id={user}"
        folder.mkdir(parents=True)
        part = pa.table({"item_id": ["x", "y"]})
        pq.write_table(part, folder / "0.parquet") if suffix == "parquet" else pa_csv.write_csv(part, folder / "0.csv")
    for suffix in ("csv", "parquet"):
        data = read_dataset(tmp_path / suffix)
        assert data.users.names([0, 1]).tolist() == ["a", "b"] and len(data.interactions) == 4


def test_knowledge_and_lists_beside_parts(tmp_path: Path, table: pa.Table) -> None:
    knowledge = pa.table({"head": ["1", "1", "m", "77"], "relation": ["by"] * 4, "tail": ["m", "m", "9", "new"]})
    types = pa.table({"head_type": ["", "", "", "item"], "tail_type": ["", "", "", "user"]})
    for name in types.column_names:
        knowledge = knowledge.append_column(name, types[name])
    options: dict[str, Any] = {
        "knowledge": knowledge,
        "items": pa.table({"item_id": ["1", "cold"], "title": ["One", None]}),
        "users": pa.table({"user_id": ["0", "idle"], "town": ["Ghent", "Oslo"]}),
        "columns": {"user_id": "who"},
        "split": "time",
    }
    renamed = table.rename_columns({"user_id": "who"})
    parts = write_parts(tmp_path / "parts", renamed, "parquet", [30])
    built = read_dataset(parts, **options)  # in a temporary folder, which is gone
    same(read_dataset(renamed, **options), built)
    assert check_dataset(built) | {"source": 0} == check_dataset(read_dataset(renamed, **options)) | {"source": 0}
    built.save(tmp_path / "elsewhere")
    same(built, Dataset.load(tmp_path / "elsewhere"))


def test_partitions_and_patterns(tmp_path: Path) -> None:
    for day, user in (("2024-05-01", "a"), ("2024-05-02", "b")):
        folder = tmp_path / "log" / f"day={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user_id": [user], "item_id": ["x"]}), folder / "part-0.parquet")
    (tmp_path / "log" / "_temporary").mkdir()
    (tmp_path / "log" / "_temporary" / "part-9.parquet").touch()
    assert read_dataset(tmp_path / "log").interactions.timestamp is None
    renamed = read_dataset(tmp_path / "log", columns={"timestamp": "day"})
    assert renamed.interactions.timestamp.tolist() == [1714521600, 1714608000]
    assert read_dataset(tmp_path / "log" / "*02" / "*.parquet").users.names([0]).tolist() == ["b"]
    assert read_dataset(tmp_path / "log" / "**" / "*.parquet", columns={"timestamp": "day"}).num_users == 2


def test_ids_of_two_types_become_text(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    pq.write_table(pa.table({"user_id": [7, 8], "item_id": [1, 2]}), tmp_path / "log" / "0.parquet")
    pq.write_table(pa.table({"user_id": ["7", "007"], "item_id": ["1", "3"]}), tmp_path / "log" / "1.parquet")
    data = read_dataset(tmp_path / "log")
    assert data.users.names(range(3)).tolist() == ["007", "7", "8"]
    assert data.interactions.count.tolist() == [1, 2, 1]


def test_bad_rows_are_named_or_skipped(tmp_path: Path) -> None:
    good = "".join(f"u{n},i{n % 7},3\n" for n in range(50))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.csv").write_text("user_id,item_id,rating\n" + good)
    text = "user_id,item_id,rating\n" + good + "ann\n\n" + good + ",x,1\nbob,y,high\n" + good + "cy,z,2,1\n"
    (tmp_path / "log" / "b.csv").write_text(text)
    with pytest.raises(DataError, match=r"b\.csv, line 52: 1 fields where 3 were expected"):
        read_dataset(tmp_path / "log")
    data, small = (
        read_dataset(path, on_bad_row="skip", **memory)
        for path, memory in ((tmp_path / "log" / "b.csv", {"memory": "1GB"}), (tmp_path / "log" / "b.csv", {}))
    )
    same(small, data)
    assert data.source["skipped"] == small.source["skipped"] and data.source["skipped"]["count"] == 4
    assert [row["line"] for row in data.source["skipped"]["first"]] == [52, 104, 105, 156]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda log: (log / "part-001.parquet").write_bytes(b"PAR1"), r"part-001\.parquet: cannot be read as Parquet"),
        (lambda log: scratch(log / "part-001.parquet"), r"part-001\.parquet: cannot be read as Parquet"),
        (
            lambda log: rewrite(log, "rating"),
            r"part-000\.parquet and .*part-001\.parquet have different columns: only .*0",
        ),
        (lambda log: rewrite(log, "item_id"), r"have different columns: only .*part-000\.parquet has item_id"),
        (lambda log: (log / "more.csv").write_text("user_id,item_id\n"), r"mixes text and Parquet \(.*more\.csv and"),
        (lambda log: (log / "more.xlsx").touch(), r"more\.xlsx: cannot read a \.xlsx file"),
        (lambda log: [path.unlink() for path in log.glob("part*")], "holds no parts of the interactions table"),
    ],
)
def test_parts_that_cannot_be(tmp_path: Path, table: pa.Table, spoil: Callable[[Path], object], message: str) -> None:
    log = write_parts(tmp_path / "log", table, "parquet", [30])
    spoil(log)
    with pytest.raises(DataError, match=message):
        read_dataset(log)


def scratch(path: Path) -> None:
    """Damage the pages and leave the footer."""
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)


def rewrite(log: Path, dropped: str) -> None:
    """Take a column out of one part."""
    path = log / "part-001.parquet"
    pq.write_table(pq.read_table(path).drop_columns([dropped]), path)


def test_times_in_two_units(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    for name, kind in (("0", pa.int64()), ("1", pa.timestamp("s"))):
        ids = {"user_id": ["a"], "item_id": ["x"], "timestamp": pa.array([5], kind)}
        pq.write_table(pa.table(ids), tmp_path / "log" / f"{name}.parquet")
    with pytest.raises(DataError, match=r"different types: timestamp is int64 and timestamp"):
        read_dataset(tmp_path / "log")


def test_a_part_that_vanishes(tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    log, out = write_parts(tmp_path / "log", table, "csv", [30, 50]), tmp_path / "graph"
    load, away = large_ingest.load_part, tmp_path / "away.csv"

    def vanish(*arguments: Any) -> Any:
        if "part-002" in str(arguments[1]) and not away.exists():
            (log / "part-002.csv").rename(away)
        return load(*arguments)

    monkeypatch.setattr(large_ingest, "load_part", vanish)
    with pytest.raises(DataError, match=r"part-002\.csv: has vanished .*\nput it back and run the same command again"):
        build_dataset(log, out)
    away.rename(log / "part-002.csv")
    away.touch()
    heard = Heard()
    same(read_dataset(table), build_dataset(log, out, listener=heard))
    assert heard.notes == ["going on with the interrupted build (done: 2 of 3 files read)"]


@pytest.mark.parametrize("place", ["ours", "duckdb", "memory"])
def test_no_room_left(tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    log, out = write_parts(tmp_path / "log", table, "csv", [30]), tmp_path / "graph"

    def fail(*arguments: Any) -> None:
        if place == "ours":
            raise OSError(errno.ENOSPC, "No space left on device")
        if place == "duckdb":
            raise duckdb.IOException("IO Error: Could not write file: No space left on device")
        raise duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block")

    with monkeypatch.context() as broken:
        broken.setattr(ColumnWriter, "append", fail)
        message = "1.0GB of memory is too little" if place == "memory" else "no space is left on this disk"
        with pytest.raises(DataError, match=rf"{message}.*\n.*run the same command again"):
            build_dataset(log, out, memory="1GB")
    same(read_dataset(table), build_dataset(log, out, memory="1GB"))


@pytest.mark.parametrize(
    "size", [0, -1, 999_999, "0", "0GB", "5", "0.001 KB", "4.2.1GB", float("nan"), float("inf"), 10**400, "9" * 400]
)
def test_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(UsageError, match="memory must be a size such as 500MB, 4GB or 4GiB"):
        memory.parse_memory(size)


def test_no_memory_left_is_not_the_same_as_no_limit(
    tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_parts(tmp_path / "log", table, "csv", [30])
    monkeypatch.setattr(choice, "available_memory", lambda: 0)
    with pytest.raises(DataError, match=r"^GR019 0KB of memory is too little .*\ngive at least \d+MB with --memory$"):
        read_dataset(log)


@pytest.mark.parametrize(
    "files",
    [
        {"max": "5000\n", "current": "3000\n", "stat": "anon 7\nfile 900\ninactive_file 500\nactive_file 100\n"},
        {
            "memory/limit_in_bytes": "5000",
            "memory/usage_in_bytes": "3000",
            "memory/stat": "inactive_file 9\ntotal_inactive_file 500\ntotal_active_file 100\n",
        },
    ],
)
def test_what_a_container_uses_is_not_available(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    assert memory.available_memory() > 5000
    for name, text in files.items():
        folder, _, kind = name.rpartition("/")
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"memory.{kind}").write_text(text)
    assert memory.available_memory() == 5000 - (3000 - 600)
    for path in tmp_path.rglob("*.*"):
        if path.name.endswith(("current", "usage_in_bytes", "stat")):
            path.unlink()
    assert memory.available_memory() == 5000


def test_estimates_and_refusals(tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    log, heard = write_parts(tmp_path / "log", table, "csv", [30]), Heard()
    build_dataset(log, tmp_path / "graph", listener=heard)
    assert heard.estimate is not None
    assert (heard.estimate.rows, heard.estimate.users) == pytest.approx((80, 9), rel=0.2)
    with pytest.raises(
        DataError, match=r"^GR019 50MB of memory is too little for about \d+ ids\ngive at least \d+MB with --memory$"
    ):
        read_dataset(log, memory="50MB")
    with pytest.raises(UsageError, match="memory must be a size such as 500MB, 4GB or 4GiB, got 'much'"):
        read_dataset(log, memory="much")
    for source in (table, table.to_pandas()):
        with pytest.raises(UsageError, match="memory was limited, and the interactions are in memory already"):
            read_dataset(source, memory="1GB")
    free = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DataError, match=r"about \d+KB of disk are needed for about 8\d rows, and 0KB are free"):
        read_dataset(log)


@pytest.mark.parametrize("kinds", [("csv", "parquet"), ("parquet", "csv")])
def test_a_test_table_of_another_kind(tmp_path: Path, table: pa.Table, kinds: tuple[str, str]) -> None:
    folders = [write_parts(tmp_path / name, table, kind, []) for name, kind in zip("ab", kinds, strict=True)]
    same(read_dataset(table, test=table), build_dataset(folders[0], tmp_path / "graph", test=folders[1]))


def test_what_no_sample_can_be_taken_of_is_refused_by_the_reader(tmp_path: Path) -> None:
    structs, short = tmp_path / "log.parquet", tmp_path / "log.csv"
    pq.write_table(pa.table({"user_id": [{"a": 1}], "item_id": ["x"]}), structs)
    with pytest.raises(DataError, match=r"GR013 .*user_id holds struct"):
        read_dataset(structs, memory="1GB")
    short.write_bytes("user_id,item_id\nann,x".encode("utf-16-le")[:-1])
    with pytest.raises(DataError, match=r"GR014 .*not utf-16-le text"):
        read_dataset(short, memory="1GB", encoding="utf-16-le")


def test_distinct_values_from_a_sample() -> None:
    draw = np.random.default_rng(5)
    spread = [pa.array(draw.integers(0, 50_000, 1000).astype(str)) for _ in range(16)]
    assert distinct_of(spread, 10**6) == pytest.approx(50_000, rel=0.1)
    by_value = [pa.array(np.repeat(np.arange(at, at + 50), 20).astype(str)) for at in range(0, 50_000, 3125)]
    assert distinct_of(by_value, 10**6) == 50_000  # sorted, twenty rows each
    assert distinct_of([], 10) == 0
