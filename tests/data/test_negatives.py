"""Pairs labelled as no interaction: read, split, kept, and never an edge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrec.data import Dataset, Part, read_dataset
from graphrec.data.split import assign_negatives, assign_parts
from graphrec.errors import DataError
from graphrec.graph import build_graph

LINES = ["0\t1\t1", "0\t2\t0", "0\t0\t0", "1\t0\t1", "1\t3\t0", "2\t4\t0", "2\t1\t0"]  # user 2 and items 2..4: label 0


def write(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "ratings_final.txt").write_text("\n".join(lines) + "\n")
    return folder


def many(folder: Path) -> Path:
    """30 users with 1 to 30 rows of each label."""
    rows = [f"{user}\t{item}\t{item % 2}" for user in range(30) for item in range(2 * user + 2)]
    return write(folder, rows)


def pairs(data: Dataset) -> list[tuple[str, str]]:
    rows = data.negatives
    return list(zip(data.users.names(rows.user).tolist(), data.items.names(rows.item).tolist(), strict=True))


def test_they_stand_beside_the_interactions(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path, LINES))
    assert pairs(data) == [("0", "0"), ("0", "2"), ("1", "3"), ("2", "1"), ("2", "4")]
    assert len(data.interactions) == 2 and (data.num_users, data.num_items) == (3, 5)
    assert data.source["negatives"] == 5 and data.source["rows"]["interactions"] == 7
    assert (data.source["duplicates"], data.source["both_labels"]) == (0, 0)
    # users 0 and 2 have two rows each: one is a test row; user 1 keeps the only one in fit
    assert np.bincount(data.negatives.user[data.negatives.part == Part.TEST], minlength=3).tolist() == [1, 0, 1]
    assert set(data.negatives.part.tolist()) == {Part.FIT, Part.TEST}


def test_repeated_rows_and_pairs_with_both_labels_are_counted(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path, [*LINES, "0\t2\t0", "0\t2\t0", "1\t0\t0"]))
    assert pairs(data) == pairs(read_dataset(write(tmp_path / "plain", LINES)))
    assert (data.source["negatives"], data.source["duplicates"], data.source["both_labels"]) == (8, 2, 1)


def test_the_split_keeps_every_row_and_the_shares_of_the_interactions(tmp_path: Path) -> None:
    data = read_dataset(many(tmp_path), seed=3)
    assert len(data.negatives) == len(data.interactions) == sum(range(1, 31))
    for part in Part:
        counts = [np.bincount(rows.select(part)[0], minlength=30) for rows in (data.negatives, data.interactions)]
        assert counts[0].tolist() == counts[1].tolist() and counts[0].sum() > 0
    other = read_dataset(tmp_path, seed=4)
    assert (other.negatives.part != data.negatives.part).any() and pairs(other) == pairs(data)


def test_the_draws_are_their_own() -> None:
    user, item = np.repeat(np.arange(40), 10), np.tile(np.arange(10), 40)
    parts = assign_negatives(user, item, seed=2)
    assert (parts == assign_negatives(user, item, seed=2)).all()
    assert (parts != assign_parts(user, item, split="random", seed=2)).any()


def test_the_order_of_the_rows_means_nothing(tmp_path: Path) -> None:
    data = read_dataset(many(tmp_path))
    lines = (tmp_path / "ratings_final.txt").read_text().split("\n")[:-1]
    shuffled = [lines[row] for row in np.random.default_rng(1).permutation(len(lines))]
    again = read_dataset(write(tmp_path / "shuffled", shuffled))
    assert again.fingerprint() == data.fingerprint()
    without = write(tmp_path / "without", [line for line in lines if line.endswith("1")])
    assert read_dataset(without).negatives.part.tolist() == []


def test_they_are_no_edges(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path, LINES))
    graph = build_graph(data, tuple(Part))
    assert graph.adjacency.num_edges == 2 * 2  # two interactions, in both directions
    assert graph.seen.degree.tolist() == [1, 1, 0]


def test_a_fingerprint_tells_them(tmp_path: Path) -> None:
    data = read_dataset(many(tmp_path))
    prints = {data.fingerprint()}
    for rows in (type(data.negatives).none(), replace(data.negatives, part=data.negatives.part[::-1].copy())):
        prints.add(replace(data, negatives=rows).fingerprint())
    assert len(prints) == 3


def test_a_graph_folder_keeps_them(tmp_path: Path) -> None:
    data, folder = read_dataset(many(tmp_path)), tmp_path / "graph"
    data.save(folder)
    loaded = Dataset.load(folder)
    for name in ("user", "item", "part"):
        ours, theirs = getattr(data.negatives, name), getattr(loaded.negatives, name)
        assert ours.tolist() == theirs.tolist() and ours.dtype == theirs.dtype
    assert loaded.fingerprint() == data.fingerprint()
    write(tmp_path, ["0\t0\t1", "0\t1\t1"])
    read_dataset(tmp_path).save(folder)  # over it: nothing of the former is left
    assert not (folder / "tables" / "negatives.parquet").exists() and len(Dataset.load(folder).negatives) == 0


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    data, folder = read_dataset(write(tmp_path, LINES)), tmp_path / "graph"
    path = folder / "tables" / "negatives.parquet"

    def column(name: str, values: list[int | None], kind: pa.DataType) -> None:
        table = pq.read_table(path)
        pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values, kind)), path)

    for spoil, message in (
        (path.unlink, "missing or damaged"),
        (lambda: path.write_bytes(b"PAR1"), "missing or damaged"),
        (lambda: pq.write_table(pq.read_table(path)[:4], path), r"4 rows do not match dataset\.json, which says 5"),
        (lambda: pq.write_table(pq.read_table(path).drop(["part"]), path), "holds user, item and not user, item, part"),
        (lambda: column("item", [0, 1, 2, 3, 4], pa.int64()), "holds user, item, part and not"),
        (lambda: column("user", [0, 0, 1, 2, 3], pa.int32()), r"user holds numbers outside \[0, 3\)"),
        (lambda: column("item", [0, 0, 1, 2, 5], pa.int32()), r"item holds numbers outside \[0, 5\)"),
        (lambda: column("part", [0, 0, 1, 2, 4], pa.uint8()), r"part holds numbers outside \[0, 4\)"),
        (lambda: column("part", [0, 0, 1, 2, None], pa.uint8()), r"part holds numbers outside \[0, 4\)"),
    ):
        data.save(folder)
        spoil()
        with pytest.raises(DataError, match=rf"negatives\.parquet: {message}"):
            Dataset.load(folder)
