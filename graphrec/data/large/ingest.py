"""From tables in parts to a graph folder, step by step; each finished step survives an interruption."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa

from graphrec.data.assemble import Listed, all_below, check_given, default_split, number_nodes, unrated
from graphrec.data.dataset import Dataset
from graphrec.data.folder import VERSION, write_header
from graphrec.data.large.choice import default_limit
from graphrec.data.large.estimate import duckdb_share, estimate
from graphrec.data.large.listener import Listener, Progress
from graphrec.data.large.parts import TablePart, find_parts
from graphrec.data.large.rejects import join_rejected, rejected_in
from graphrec.data.large.rows import Told, begun, create_rows, load_part, sort_rows, split_rows, value_columns
from graphrec.data.large.store import WORK, Store, explained, threads
from graphrec.data.reader import Reader
from graphrec.data.rejected import REJECTED, SHOWN, Rejected
from graphrec.data.request import Request
from graphrec.data.split import check_needs
from graphrec.data.vectors import ids_beside
from graphrec.errors import NothingLeftError
from graphrec.files import write_text

STEPS = ("number", "sort", "split")  # after the reading
QUIET = 1.0  # seconds between two words about one step


def ingest(request: Request, out: Path, limit: int | None, listener: Listener) -> Dataset:
    """Build a graph folder from tables that need not fit in memory.

    Args:
        request: what to read; its interactions and test are files, folders or globs.
        out: the graph folder.
        limit: bytes of memory that the whole process may use; None for half of what is available.
        listener: hears of the estimate and the progress.

    Raises:
        DataError: the tables are wrong, or memory or disk do not suffice.
    """
    limit = default_limit() if limit is None else limit
    with explained(out, limit), TemporaryFile("w+", encoding="utf-8", newline="") as rejected:
        parts = find_parts(request)
        _check_columns(request, parts)
        reader = Reader(request, Rejected(rejected) if request.skip else None)
        listed = reader.listed()
        expected = estimate(parts, request, limit, out)
        listener.estimated(expected)
        expected.check(out)
        store = Store(out / WORK, _key(request, parts), memory=duckdb_share(expected), threads=threads())
        try:
            build = _Build(request, parts, reader, listed, store, listener)
            build.run(expected.rows)
        finally:
            store.close()
        build.finish(out)
    return Dataset.load(out)


class _Build:
    """The steps of one build."""

    def __init__(
        self,
        request: Request,
        parts: list[TablePart],
        reader: Reader,
        listed: Listed,
        store: Store,
        listener: Listener,
    ) -> None:
        self.request = request
        self.parts = parts
        self.reader = reader
        self.listed = listed
        self.store = store
        self.listener = listener
        self.values = value_columns(parts)
        self.nodes = store.folder / "nodes"  # a graph folder without interactions
        self.columns = store.folder / "columns"

    def run(self, expected: int) -> None:
        """All steps that are not finished yet."""
        if self._has_changed():
            self.store.restart(_key(self.request, self.parts))
        self._say_where()
        self._read(expected)
        counted = self._counted()
        if "number" not in self.store.steps:
            self._number()
        split = self.request.split or default_split(self.values, any_test=counted["tests"] > 0)
        check_given(split, any_test=counted["tests"] > 0)
        if "sort" not in self.store.steps:
            with self._step("sort", counted["kept"]) as told:
                entries = sort_rows(self.store, Dataset.load(self.nodes), self.values, self.columns, told)
            self.store.record("sort", {"entries": entries})
        if "split" not in self.store.steps:
            with self._step("split", self.store.steps["sort"]["entries"]) as told:
                split_rows(self.columns, split, self.request.seed, told)
            self.store.record("split", {"split": split})

    def finish(self, out: Path) -> None:
        """Move what was written to its place; dataset.json comes last, and then the work folder goes.

        Can be interrupted and repeated: what is in its place already stays there.
        """
        header, moves = self.store.folder / "dataset.json", self.store.folder / "moves.json"
        if not moves.exists():
            entries = self.store.steps["sort"]["entries"]
            written = Dataset.load(self.nodes).header(self._written(), entries, self._source())
            write_header(self.store.folder, written)
            join_rejected(self.store.folder, len(self.parts), self.reader.rejected)
            write_text(moves, json.dumps(self._moves()))
        targets = json.loads(moves.read_text())
        if header.exists():
            (out / "dataset.json").unlink(missing_ok=True)
            for target, source in targets.items():
                (out / target).parent.mkdir(parents=True, exist_ok=True)
                if (self.store.folder / source).exists():
                    os.replace(self.store.folder / source, out / target)
            _remove_others(out, set(targets))
            os.replace(header, out / "dataset.json")
        shutil.rmtree(self.store.folder)

    def _written(self) -> list[str]:
        """The columns of the interactions."""
        return ["user", "item", "part", "count", *self.values]

    def _moves(self) -> dict[str, str]:
        """Place in the graph folder → place in the work folder, for every file but dataset.json."""
        moves = {f"tables/interactions/{name}.npy": f"columns/{name}.npy" for name in self._written()}
        for pattern in ("ids/*.parquet", "tables/*.parquet", "tables/features/*.npy"):
            moves |= {
                str(path.relative_to(self.nodes)): str(path.relative_to(self.store.folder))
                for path in self.nodes.glob(pattern)
            }
        return moves | ({REJECTED: REJECTED} if (self.store.folder / REJECTED).exists() else {})

    def _read_parts(self) -> list[tuple[TablePart, dict[str, Any]]]:
        """The parts that have been read, and what was counted."""
        found = ((part, self.store.steps.get(f"read {number}")) for number, part in enumerate(self.parts))
        return [(part, facts) for part, facts in found if facts is not None]

    def _has_changed(self) -> bool:
        """Whether a part is not the file of which rows are in the store."""
        names = [(part, name) for n, part in enumerate(self.parts) for name in (f"read {n}", begun(f"read {n}"))]
        found = [(part, self.store.steps[name]) for part, name in names if name in self.store.steps]
        return any(facts["file"] != part.file.identity for part, facts in found)

    def _say_where(self) -> None:
        if self.store.found == "same":
            done = [
                f"{len(self._read_parts())} of {len(self.parts)} files read",
                *(step for step in STEPS if step in self.store.steps),
            ]
            self.listener.noted(f"going on with the interrupted build (done: {', '.join(done)})")
        elif self.store.found == "other":
            self.listener.noted("the inputs or options are not those of the interrupted build: starting anew")

    def _read(self, expected: int) -> None:
        create_rows(self.store, self.values)
        skip = self.request.skip
        with self._step("read", expected) as told:
            place = 0
            for number, part in enumerate(self.parts):
                step = f"read {number}"
                if step not in self.store.steps:
                    with self.store.transaction(), rejected_in(self.store.folder, number, skip=skip) as rejected:
                        facts = load_part(self.store, part, self.request, self.values, place, told, step, rejected)
                        self.store.record(step, facts | {"file": part.file.identity})
                else:
                    told(self.store.steps[step]["read"])
                place += self.store.steps[step]["read"]

    def _number(self) -> None:
        with self._step("number", None):
            users, items = (
                self.store.read(f"SELECT DISTINCT {name} FROM rows").column(0).cast(pa.large_string()).combine_chunks()
                for name in ("user_id", "item_id")
            )
            shutil.rmtree(self.nodes, ignore_errors=True)
            nodes = number_nodes(self.listed, users, items)
            nodes.save(self.nodes)
        self.store.record("number", nodes.source)

    def _counted(self) -> dict[str, Any]:
        """Sums over the parts; nothing left to build from is an error."""
        pairs = self._read_parts()
        facts = [one for _, one in pairs]
        total = {name: sum(one[name] for one in facts) for name in ("read", "skipped", "kept", "below")}
        for is_test, table in ((False, "interactions"), (True, "test")):
            own = [one for part, one in pairs if part.is_test == is_test]
            total[table] = sum(one["read"] for one in own)
            source = getattr(self.request, table)
            if own and not total[table]:
                raise NothingLeftError(
                    f"{source}: the interactions table has no rows", "give at least one row or leave it out"
                )
            if own and sum(one["skipped"] for one in own) == total[table]:
                first = next(one for one in own if one["examples"])["examples"][0]
                unit = "line" if "line" in first else "row"
                message = f"{first['file']}: every row is bad; {unit} {first[unit]}: {first['reason']}"
                raise NothingLeftError(message, "check the delimiter")
        if not total["kept"]:
            assert self.request.min_rating is not None
            raise all_below(self.request.min_rating, max(one["highest"] for one in facts))
        total["tests"] = sum(one["kept"] for part, one in pairs if part.is_test)
        total["examples"] = [example for one in facts for example in one["examples"]]
        return total

    def _source(self) -> dict[str, Any]:
        """Where the data came from and what was counted, as the small path says it."""
        counted, reader, steps = self._counted(), self.reader, self.store.steps
        tables = {"interactions": counted["interactions"]}
        tables |= {"test": counted["test"]} if any(part.is_test for part in self.parts) else {}
        skipped = reader.skipped()
        first = (counted["examples"] + skipped["first"])[:SHOWN]
        return {
            "format": "table",
            "files": self.request.files(),
            "rows": tables | reader.read,
            "negatives": 0,
            "skipped": {"count": counted["skipped"] + skipped["count"], "first": first},
            "split": steps["split"]["split"],
            "seed": self.request.seed,
            "min_rating": self.request.min_rating,
            "below_min_rating": counted["below"],
            "duplicates": counted["kept"] - steps["sort"]["entries"],
            **steps["number"],
        }

    @contextmanager
    def _step(self, name: str, rows: int | None) -> Iterator[Told]:
        """Times a step and tells the listener now and then how far it is."""
        began = said = time.monotonic()
        done = 0

        def told(more: int) -> None:
            nonlocal done, said
            done += more
            if time.monotonic() - said >= QUIET:
                said = time.monotonic()
                self.listener.progressed(Progress(name, done, rows, said - began))

        self.listener.progressed(Progress(name, 0, rows, 0.0))
        yield told
        self.listener.progressed(Progress(name, done, rows, time.monotonic() - began, finished=True))


def _remove_others(out: Path, kept: set[str]) -> None:
    """Remove what a former graph has left in its folders."""
    for path in (*out.glob("ids/**/*"), *out.glob("tables/**/*"), out / REJECTED):
        if path.is_file() and str(path.relative_to(out)) not in kept:
            path.unlink()


def _check_columns(request: Request, parts: list[TablePart]) -> None:
    """What the options need must be there before the long work starts."""
    values = value_columns(parts)
    if request.min_rating is not None and "rating" not in values:
        raise unrated()
    split = request.split or default_split(values, any_test=False)
    check_needs(split, [*values, "is_test"])


def _key(request: Request, parts: list[TablePart]) -> str:
    """Equal for equal files and options alone; what the parts hold is looked at part by part."""
    options: list[Any] = [request.split, request.seed, request.min_rating, sorted(request.columns.items())]
    options += [request.header, request.delimiter, request.encoding, request.on_bad_row, str(request.text_model)]
    files = [[str(part.file.path.absolute()), part.is_test, sorted(part.chosen.items())] for part in parts]
    tables = []
    named = {name: getattr(request, name) for name in ("knowledge", "links", "items", "users")}
    named |= {f"{kind}.{name}": source for (kind, name), source in request.vectors().items()}
    for name, table in named.items():
        if isinstance(table, str | os.PathLike):
            for path in filter(None, (Path(table), ids_beside(Path(table)))):
                status = path.stat()
                tables.append([name, str(path.absolute()), status.st_size, status.st_mtime_ns])
        elif table is not None:  # in memory: nothing to know it by
            tables.append([name, uuid.uuid4().hex])
    return hashlib.sha256(json.dumps([VERSION, options, files, tables]).encode()).hexdigest()
