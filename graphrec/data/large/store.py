"""The work folder of a build: rows in a DuckDB file, and which steps are finished, so that work can be gone on with."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from graphrec.errors import BusyError, DataError, RoomError

WORK = ".building"  # inside the graph folder
FULL = (errno.ENOSPC, errno.EDQUOT)
AGAIN = "run the same command again: it goes on from the last finished step"


class Store:
    """Rows and finished steps in one DuckDB file, each step's rows committed together with its record.

    Args:
        folder: the work folder; made if it is not there.
        key: of the inputs and options; work of another key is discarded.
        memory: bytes that DuckDB may use.
        threads: that it may use.

    Attributes:
        found: "nothing", "same" work that can be gone on with, or "other" work, which is gone now.
    """

    def __init__(self, folder: Path, key: str, *, memory: int, threads: int) -> None:
        self.folder = folder
        self._settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory // 1000}KB",
            "threads": threads,
            "temp_directory": str(folder / "spill"),
            "preserve_insertion_order": False,  # rows carry their place where it matters
        }
        self.found = "nothing"
        if folder.exists():
            self.found = "same" if self._key() == key else "other"
        self.steps: dict[str, dict[str, Any]] = {}
        if self.found != "same":
            self._start(key)
        else:
            steps = self.connection.execute("FROM steps").fetchall()
            self.steps = {name: json.loads(facts) for name, facts in steps}

    def restart(self, key: str) -> None:
        """Discard all work: it was of other inputs."""
        self.found, self.steps = "other", {}
        self._start(key)

    def record(self, step: str, facts: dict[str, Any]) -> None:
        """Note that a step is finished, or how far it is, and what it found; the last note of a name counts."""
        self.connection.execute("DELETE FROM steps WHERE name = ?", [step])
        self.connection.execute("INSERT INTO steps VALUES (?, ?)", [step, json.dumps(facts)])
        self.steps[step] = facts

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that happens inside is kept together or not at all."""
        self.connection.begin()
        try:
            yield
            self.connection.commit()
        except BaseException:
            with suppress(duckdb.Error):  # where the disk is full, say, there is nothing left to roll back
                self.connection.rollback()
            raise

    def keep(self) -> None:
        """Keep what has happened in the transaction so far, and go on with another."""
        self.connection.commit()
        self.connection.begin()

    def insert(self, table: str, block: pa.Table) -> None:
        """Add rows; the columns go by their names."""
        self.connection.register("block", block)
        self.connection.execute(f"INSERT INTO {table} BY NAME FROM block")
        self.connection.unregister("block")

    def read(self, query: str) -> pa.Table:
        """A small answer."""
        return self.stream(query).read_all()

    def stream(self, query: str) -> pa.RecordBatchReader:
        """A large answer, batch by batch."""
        return pa.RecordBatchReader.from_stream(self.connection.sql(query))

    def close(self) -> None:
        """Give DuckDB's memory back."""
        self.connection.close()

    def _start(self, key: str) -> None:
        if self.found == "other":
            if hasattr(self, "connection"):
                self.close()
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self._open()
        with self.transaction():
            self.connection.execute("CREATE TABLE about AS SELECT ? AS key", [key])
            self.connection.execute("CREATE TABLE steps (name VARCHAR, facts VARCHAR)")

    def _open(self) -> None:
        try:
            self.connection = duckdb.connect(self.folder / "rows.duckdb", config=self._settings)
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise
            message = f"{self.folder.parent}: another build is at work there"
            raise BusyError(message, "wait for it to end, or choose another folder") from error
        self.connection.execute("SET enable_progress_bar = false")  # a setting of connections: connect() refuses it
        # The file is deleted once the graph is whole; until then the log of changes serves as well.
        self.connection.execute("PRAGMA disable_checkpoint_on_shutdown")

    def _key(self) -> str:
        """The key of the work that is there; empty where it cannot be read any more."""
        try:
            self._open()
            found = self.connection.execute("SELECT key FROM about").fetchone()
        except duckdb.Error:
            return ""
        return str(found[0]) if found else ""


def discard_work(out: Path) -> None:
    """Remove what an interrupted build has left in a graph folder."""
    if (out / WORK).is_dir():
        shutil.rmtree(out / WORK)


@contextmanager
def explained(out: Path, memory: int) -> Iterator[None]:
    """A full disk and too little memory, in words; what is finished stays.

    Args:
        out: the graph folder.
        memory: bytes that the whole process may use.
    """
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if "No space left" in text or "max_temp_directory_size" in text or "disk quota" in text.lower():
            raise _full(out) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            from graphrec.data.large.memory import shown_size

            message = f"{shown_size(memory)} of memory is too little for this data"
            raise RoomError(message, f"give more with --memory {shown_size(2 * memory)}; {AGAIN}") from error
        raise
    except MemoryError as error:
        raise RoomError("there is not enough memory for this data", f"close other programs; {AGAIN}") from error
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _full(out) from error


def _full(out: Path) -> DataError:
    free = shutil.disk_usage(out if out.exists() else out.parent).free
    return RoomError(f"{out}: no space is left on this disk ({free:,} bytes free)", f"free some, then {AGAIN}")


def threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
