"""What must hold of tables that graphrec is given: a result that is whole and right, or an error with a code.

Each check returns what became of its input: ``read``, or the code of the error. All else raises.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np
from fuzz_inputs import TRAP, Given

from graphrec.data import Dataset, Part, build_dataset, check_dataset, read_dataset
from graphrec.errors import GraphrecError

TABLES = ("interactions", "knowledge", "items", "users", "test")
MOST = 1_000_000_000  # bytes that memory may grow by for a few small files
READ = "read"


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """``read`` and the result, or the code and the error's text.

    Raises:
        AssertionError: the error has no code of its own kind.
    """
    try:
        return READ, call()
    except GraphrecError as error:
        assert error.code != GraphrecError.code and error.message, repr(error)
        return error.code, str(error)


@contextmanager
def modest(folder: Path) -> Iterator[None]:
    """Memory hardly grows, and nothing in the input has been executed."""
    before = getrusage(RUSAGE_SELF).ru_maxrss
    yield
    grown = (getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST, f"{grown:,} bytes of memory"
    assert not Path(TRAP).exists() and not (folder / TRAP).exists(), "executed"


def write(given: Given, folder: Path) -> dict[str, Any]:
    """Write the files; returns the options with the paths in them."""
    folder.mkdir(parents=True)
    for name, content in given.files.items():
        (folder / name).write_bytes(content)
    options = given.options | {name: folder / given.options[name] for name in TABLES if name in given.options}
    if "item_vectors" in options:
        options["item_vectors"] = {name: folder / file for name, file in options["item_vectors"].items()}
    return options


def check_tables(given: Given, folder: Path) -> str:
    """Tables or a known folder in memory: read whole, or refused; and with bad rows skipped no row vanishes."""
    options = write(given, folder / "given")
    with modest(folder):
        strict, found = outcome(lambda: read_dataset(**options))
        code, data = outcome(lambda: read_dataset(**options, on_bad_row="skip"))
        if strict == READ:
            assert code == READ and data.fingerprint() == found.fingerprint()
            assert data.source["skipped"]["count"] == 0
        elif strict != "GR012":
            assert code == strict, f"{found}, and with skip {code} {data}"
        if code == READ:
            check_whole(data)
            check_rows(data, given)
    return strict if strict == code else f"{strict}, skip: {code}"


def check_large(given: Given, folder: Path) -> str:
    """Past memory the result and the rejected rows are those of memory, and what is refused there is refused."""
    options = write(given, folder / "given") | {"on_bad_row": "skip" if len(given.files) % 2 else "stop"}
    here, there = folder / "here", folder / "there"
    with modest(folder):
        code, found = outcome(lambda: build_dataset(out=here, **options))
        past, other = outcome(lambda: build_dataset(out=there, memory="1GB", **options))
        if past == "GR014" and "too long to be read" in other:
            return past  # a row is longer than the blocks, which are small here
        # of several faults another may be named first
        assert (code == READ) == (past == READ), f"{code} {found}, and past memory {past} {other}"
        if code == READ:
            assert found.fingerprint() == other.fingerprint()
            assert found.source == other.source
            rejected = [path / "rejected.csv" for path in (here, there)]
            assert len({path.read_bytes() if path.exists() else None for path in rejected}) == 1
    return code


def check_whole(data: Dataset) -> None:
    """What a Dataset promises."""
    for ids in (data.users, data.items, data.entities):
        names = ids.array.to_pylist()
        assert len(set(names)) == len(names) and all(names)
        assert ids.lookup(names).tolist() == list(range(len(names)))
    rows, facts = data.interactions, data.knowledge
    for column, end in ((rows.user, data.num_users), (rows.item, data.num_items), (rows.part, len(Part))):
        assert len(column) == len(rows) > 0 and 0 <= column.min() <= column.max() < end
    for column, end in (
        (facts.head, data.num_nodes),
        (facts.tail, data.num_nodes),
        (facts.relation, len(facts.relations)),
    ):
        assert len(column) == len(facts) and (not len(column) or 0 <= column.min() <= column.max() < end)
    keys = list(zip(rows.user.tolist(), rows.item.tolist(), (rows.part == Part.TEST).tolist(), strict=True))
    triples = list(zip(facts.head.tolist(), facts.relation.tolist(), facts.tail.tolist(), strict=True))
    assert [key[:2] for key in keys] == sorted(key[:2] for key in keys) and len(set(keys)) == len(keys)
    assert triples == sorted(set(triples))
    assert rows.timestamp is None or rows.timestamp.min() >= -1
    for kind, named in data.features.items():
        for values in named.values():
            finite = np.isfinite(values)
            assert values.dtype == np.float32 and len(values) == {"user": data.num_users, "item": data.num_items}[kind]
            assert (finite.all(axis=1) | np.isnan(values).all(axis=1)).all()
    check_parts(data)
    json.dumps(check_dataset(data), allow_nan=False)


def check_parts(data: Dataset) -> None:
    """The split is complete: who has enough rows has test, select and blend rows."""
    parts = np.zeros((data.num_users, len(Part)), np.int64)
    np.add.at(parts, (data.interactions.user, data.interactions.part), 1)
    test, total = parts[:, Part.TEST], parts.sum(axis=1)
    if data.source["split"] in ("last", "random"):
        assert ((test >= 1) == (total >= 2)).all()
    elif data.source["split"] == "time":
        assert test.sum() == round(0.2 * total.sum())
    train = total - test
    held = np.where(train >= 5, np.maximum(1, np.rint(0.1 * train)), 0)
    assert (parts[:, Part.SELECT] == held).all() and (parts[:, Part.BLEND] == held).all()


def check_rows(data: Dataset, given: Given) -> None:
    """Rows read are rows kept and rows left out, and each pair stands in the files as another reader reads them."""
    source, rows = data.source, data.interactions
    kept = int(rows.count.sum())
    again = source["negatives"] - len(data.negatives) - source.get("both_labels", 0)  # repeated ones of label 0
    assert kept - len(rows) + again == source["duplicates"]
    others = source["rows"].keys() - {"interactions", "test"}
    read = source["rows"]["interactions"] + source["rows"].get("test", 0)
    left = read - kept - source["negatives"] - source["below_min_rating"]
    assert left >= 0 and (source["skipped"]["count"] == left if not others else source["skipped"]["count"] >= left)
    texts = [given.options.get(name) for name in ("interactions", "test")]
    if all(name is None or name.endswith((".csv", ".tsv")) for name in texts):
        pairs = set().union(*(pairs_in(given.files[name], given.options) for name in texts if name))
        user, item = data.users.names(rows.user), data.items.names(rows.item)
        assert set(zip(user, item, strict=True)) <= pairs


def pairs_in(content: bytes, options: dict[str, Any]) -> set[tuple[str, str]]:
    """(user, item) of each row of a text, as Python's csv module reads it."""
    encoding = {"utf-8": "utf-8-sig"}.get(found := options.get("encoding", "utf-8"), found)
    text, header = content.decode(encoding), options.get("header")
    pairs = set()
    for delimiter in {",", "\t", options.get("delimiter", ",")}:
        long = len(delimiter.encode()) > 1
        lines = io.StringIO(text.replace(delimiter, "\x1f") if long else text, newline="")
        form: dict[str, Any] = {"delimiter": "\x1f", "quoting": csv.QUOTE_NONE} if long else {"delimiter": delimiter}
        reader = csv.reader(lines, **form)
        found = [row for row in reader if row]
        names = [name.removesuffix(":token") for name in header or found.pop(0)]
        if {"user_id", "item_id"} <= set(names):
            places = names.index("user_id"), names.index("item_id")
            pairs |= {(row[places[0]], row[places[1]]) for row in found if len(row) == len(names)}
    return pairs
