"""The steps with rows in them: reading parts into the store, sorting them out of it, joining repeated pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphrec.data.assemble import runs, unpack
from graphrec.data.dataset import Dataset
from graphrec.data.folder import COLUMNS
from graphrec.data.large.parts import Block, TablePart, Tally, read_part
from graphrec.data.large.store import Store
from graphrec.data.rejected import Rejected
from graphrec.data.request import Request
from graphrec.data.split import Splitter
from graphrec.data.storage import BLOCK, ColumnWriter, forget, open_column

VALUES = {"timestamp": ("BIGINT", -1), "rating": ("FLOAT", np.nan), "weight": ("FLOAT", np.nan)}  # type, absent
ROWS = 1 << 18  # of a Parquet file, looked at together
COMMIT_ROWS = 1 << 22  # of a part, after which they are kept

Told = Callable[[int], None]  # is told how many more rows are done


def value_columns(parts: list[TablePart]) -> list[str]:
    """The values that any part has."""
    return [name for name in VALUES if any(name in part.chosen for part in parts)]


def create_rows(store: Store, values: list[str]) -> None:
    """An empty table for the rows."""
    columns = [
        "user_id VARCHAR",
        "item_id VARCHAR",
        "is_test BOOLEAN",
        *(f"{name} {VALUES[name][0]}" for name in values),
    ]
    if needs_place(values):
        columns.append("place BIGINT")
    store.connection.execute(f"CREATE TABLE IF NOT EXISTS rows ({', '.join(columns)})")


def needs_place(values: list[str]) -> bool:
    """Whether the order of equally old rows matters: only what is not their time can differ among them."""
    return bool(set(values) - {"timestamp"})


def load_part(
    store: Store,
    part: TablePart,
    request: Request,
    values: list[str],
    place: int,
    told: Told,
    step: str,
    rejected: Rejected | None,
) -> dict[str, Any]:
    """Read one part into the store, inside a transaction.

    DuckDB holds in memory what is not committed, whatever its limit. So a large part is committed by and by, with a
    note of how many of its blocks are there; those are read again after an interruption, and not added again.

    Args:
        place: of its first row among all rows.
        step: under whose name the note is kept.
        rejected: takes bad rows; None where the first one stops the reading.

    Returns:
        What was counted: rows read, skipped (and the first of these), kept, rated below the least rating, and the
        highest rating.
    """
    tally, kept, below, highest, added = Tally(rejected), 0, 0, -np.inf, 0
    there = store.steps.get(begun(step), {"blocks": 0})["blocks"]
    for number, block in enumerate(read_part(part, request, ROWS, tally), start=1):
        rows = _table(block, part, values, place + kept + below)
        if request.min_rating is not None and len(rows):
            rating = rows["rating"].to_numpy()
            highest = np.fmax(highest, np.fmax.reduce(rating))
            rows = rows.filter(pa.array(rating >= request.min_rating))
            below += len(rating) - len(rows)
        kept += len(rows)
        if number > there:
            store.insert("rows", rows)
            added += len(rows)
        if added >= COMMIT_ROWS:
            store.record(begun(step), {"blocks": number, "file": part.file.identity})
            store.keep()
            added = 0
        told(len(block.ids["user_id"]))
    skipped = {"skipped": rejected.count, "examples": rejected.first} if rejected else {"skipped": 0, "examples": []}
    return skipped | {"read": tally.read, "kept": kept, "below": below, "highest": float(highest)}


def begun(step: str) -> str:
    """The name of the note on how far a step is."""
    return f"{step}, begun"


def _table(block: Block, part: TablePart, values: list[str], place: int) -> pa.Table:
    count = len(block.ids["user_id"])
    columns: dict[str, Any] = {**block.ids, "is_test": np.full(count, part.is_test)}
    for name in values:
        columns[name] = block.numbers.get(name, np.full(count, VALUES[name][1]))
    if needs_place(values):
        columns["place"] = np.arange(place, place + count)
    return pa.table(columns)


def sort_rows(store: Store, nodes: Dataset, values: list[str], folder: Path, told: Told) -> int:
    """Write the columns of the interactions, one entry for each distinct (user, item, given as test).

    Args:
        nodes: the ids.
        folder: of the columns; ``is_test`` is written beside them.

    Returns:
        The number of entries.
    """
    for name, ids in (("users", nodes.users), ("items", nodes.items)):
        store.connection.register(name, pa.table({"name": ids.array, "number": np.arange(len(ids))}))
    order = ["key", *(["timestamp"] if "timestamp" in values else []), *(["place"] if needs_place(values) else [])]
    batches = store.stream(
        f"SELECT (users.number * {nodes.num_items} + items.number) * 2 + is_test::BIGINT AS key, "
        f"{''.join(f'rows.{name}, ' for name in values)} FROM rows "
        "JOIN users ON rows.user_id = users.name JOIN items ON rows.item_id = items.name "
        f"ORDER BY {', '.join('rows.' * (name != 'key') + name for name in order)}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        names = ("user", "item", "count", *values)
        writers = {name: stack.enter_context(ColumnWriter(folder / f"{name}.npy", COLUMNS[name])) for name in names}
        writers["is_test"] = stack.enter_context(ColumnWriter(folder / "is_test.npy", np.bool_))
        for key, count, last in _joined(batches, values, told):
            user, item, is_test = unpack(key, nodes.num_items)
            entry = {"user": user, "item": item, "count": count, "is_test": is_test} | last
            for name, writer in writers.items():
                writer.append(entry[name])
        return writers["user"].length


def _joined(
    batches: pa.RecordBatchReader, values: list[str], told: Told
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """(key, count of rows, last row's values) of each distinct key; a key's rows may go over several batches."""
    held: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]] | None = None  # the last key so far
    for batch in batches:
        if not len(batch):
            continue
        told(len(batch))
        keys = batch.column("key").to_numpy()
        starts, count = runs(keys)
        last = starts + count - 1
        key, value = keys[starts], {name: batch.column(name).to_numpy()[last] for name in values}
        if held is not None and held[0][0] == key[0]:
            count[0] += held[1][0]
        elif held is not None:
            yield held
        yield key[:-1], count[:-1], {name: column[:-1] for name, column in value.items()}
        held = key[-1:], count[-1:], {name: column[-1:] for name, column in value.items()}
    if held is not None:
        yield held


def split_rows(folder: Path, split: str, seed: int, told: Told) -> None:
    """Write the column ``part`` beside the others."""
    names = ("user", "item", "timestamp", "is_test")
    columns = {name: open_column(folder / f"{name}.npy") for name in names if (folder / f"{name}.npy").exists()}
    splitter = Splitter.of_rows(split, seed, lambda: _blocks(columns), len(columns["user"]))
    with ColumnWriter(folder / "part.npy", COLUMNS["part"]) as part:
        for block in _blocks(columns):
            timestamp, is_test = block.get("timestamp"), block["is_test"]
            part.append(splitter.assign(block["user"], block["item"], timestamp=timestamp, is_test=is_test))
            told(len(block["user"]))


def _blocks(columns: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The rows of some whole users after others'."""
    for start, stop in whole_users(columns["user"]):
        yield {name: column[start:stop] for name, column in columns.items()}
        forget(*columns.values())


def whole_users(user: np.ndarray, rows: int = BLOCK) -> Iterator[tuple[int, int]]:
    """(start, stop) of blocks of about ``rows`` rows that part no user from another.

    >>> list(whole_users(np.array([0, 0, 1, 2, 2, 2, 2, 3]), rows=3))
    [(0, 3), (3, 7), (7, 8)]
    """
    start = 0
    while start < len(user):
        stop = start + rows
        if stop < len(user):
            first = int(np.searchsorted(user, user[stop]))  # in a memory map this touches a few pages
            stop = first if first > start else int(np.searchsorted(user, user[stop], side="right"))
        stop = min(stop, len(user))
        yield start, stop
        start = stop
