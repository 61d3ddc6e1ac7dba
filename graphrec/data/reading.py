"""From the caller's tables, or a known folder, to a Dataset or a graph folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile, gettempdir
from typing import Any, TextIO

from graphrec.data.assemble import Gathered, assemble
from graphrec.data.dataset import Dataset
from graphrec.data.formats import Folder, read_folder, unfold
from graphrec.data.large import Listener, discard_work, ingest, is_large, parse_memory
from graphrec.data.reader import Reader
from graphrec.data.rejected import REJECTED, Rejected, write_rejected
from graphrec.data.request import Request
from graphrec.data.tables import Source
from graphrec.errors import CombinationError, OutputError, RoomError, SourceError
from graphrec.files import held

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def read_dataset(
    interactions: Source,
    *,
    knowledge: Source | None = None,
    items: Source | None = None,
    users: Source | None = None,
    test: Source | None = None,
    split: str | None = None,
    seed: int = 0,
    min_rating: float | None = None,
    columns: Mapping[str, str] | None = None,
    header: Sequence[str] | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    on_bad_row: str = "stop",
    item_vectors: Mapping[str, Source] | None = None,
    user_vectors: Mapping[str, Source] | None = None,
    text_model: str | os.PathLike[str] | None = None,
    memory: str | int | None = None,
    listener: Listener | None = None,
) -> Dataset:
    """Read tables into a Dataset: ids mapped, duplicates joined, every interaction given its part.

    Args:
        interactions: user_id, item_id and optionally rating, timestamp, weight, as a CSV, TSV or Parquet file, a
            DataFrame, or anything that Arrow can read (a pyarrow Table, a DuckDB relation, a polars DataFrame); a
            folder or glob of such files that are the parts of one table, in the order of their paths; or a folder of a
            known form (see ``formats``).
        knowledge: head, relation, tail and optionally head_type, tail_type (user, item or entity). An untyped name is
            an item if the catalogue has it, else an entity. Replaces a known folder's own knowledge.
        items, users: an id and attributes; ``title`` names it to people. Items without interactions are cold items.
        test: further interactions, held out as they are.
        split: given, random, last or time (see ``split``). By default given where there are test rows, else last where
            there are timestamps, else random.
        seed: of the split.
        min_rating: rows rated lower are no interactions.
        columns: our column name → the caller's, applied to each table that has it.
        header: column names of interactions and test, where these are text without a header row.
        delimiter: of the text tables whose header row has it; others go by their suffix.
        encoding: of the text tables: utf-8, latin-1, utf-16 or another that Python knows.
        on_bad_row: "stop" at the first, or "skip": leave them out, count them and keep the first few in ``source``.
        item_vectors, user_vectors: what to call vectors of items or users → a .parquet or .npy file, DataFrame or Table
            of them (see ``read_vectors``).
        text_model: the folder of a sentence-transformers model, to read the text of items and users in place of TF-IDF.
        memory: how much the process may use, "4GB" say; the interactions then pass through a temporary folder in
            place of memory, as they do anyway where there are many files or very large ones.
        listener: hears of the estimate and the progress of that.

    Raises:
        DataError: with file, line and value.
        UsageError: an argument has no such value.

    >>> import pyarrow as pa
    >>> table = pa.table({"user_id": ["ann", "ann", "bob"], "item_id": ["007", "7", "7"], "timestamp": [1, 2, 3]})
    >>> data = read_dataset(table)
    >>> data.items.names([0, 1]).tolist(), data.interactions.part.tolist()
    (['007', '7'], [0, 3, 0])
    """
    options: dict[str, Any] = {"knowledge": knowledge, "items": items, "users": users, "test": test, "split": split}
    options |= {"seed": seed, "min_rating": min_rating, "columns": columns or {}, "header": header}
    options |= {"item_vectors": item_vectors or {}, "user_vectors": user_vectors or {}, "text_model": text_model}
    options |= {"delimiter": delimiter, "encoding": encoding, "on_bad_row": on_bad_row}
    request = unfold(Request(interactions, **options))
    limit = None if memory is None else parse_memory(memory)
    with _writable(Path(gettempdir())), _readable():
        if not is_large(request, limit):
            return read_in_memory(request)
        with TemporaryDirectory(prefix="graphrec-") as folder:  # its columns stay readable while they are mapped
            return ingest(request, Path(folder) / "graph", limit, listener or Listener())


def build_dataset(
    interactions: Source,
    out: str | os.PathLike[str],
    *,
    memory: str | int | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Dataset:
    """Read tables and write a graph folder, through memory or, where they might not fit, past it.

    Built past memory, the folder holds its unfinished work in ``.building`` until it is whole, and the same call goes
    on from there after an interruption. The result is the same either way.

    Args:
        interactions, memory, options: as for ``read_dataset``.
        out: the graph folder.
        listener: hears of the estimate and the progress.

    Returns:
        The dataset, its interactions on disk.

    Raises:
        DataError, UsageError: as for ``read_dataset``; also too little memory or disk, in numbers.
        BusyError: another process writes the folder.
        OutputError: it cannot be written, for another reason than room.

    >>> import tempfile
    >>> import pyarrow as pa
    >>> table = pa.table({"user_id": ["ann", "bob"], "item_id": ["x", "x"]})
    >>> build_dataset(table, tempfile.mkdtemp()).num_users
    2
    """
    request = unfold(Request(interactions, **options))
    limit = None if memory is None else parse_memory(memory)
    with _writable(Path(out)), held(Path(out)), TemporaryFile("w+", encoding="utf-8", newline="") as rejected:
        with _readable():
            if is_large(request, limit):
                return ingest(request, Path(out), limit, listener or Listener())
            dataset = read_in_memory(request, rejected)
        discard_work(Path(out))
        dataset.save(out)
        write_rejected(Path(out) / REJECTED, [rejected])
    return dataset


def read_in_memory(request: Request, file: TextIO | None = None) -> Dataset:
    """The dataset, from tables that fit in memory; ``file`` is given the rows that are left out."""
    reader = Reader(request, Rejected(file) if request.skip else None)
    folder = _open_folder(request.interactions, request.test, request.header)
    rows = folder.interactions if folder else reader.interactions()
    listed = reader.listed(folder)
    source: dict[str, Any] = {"format": folder.format if folder else "table"}
    source["files"] = request.files()
    source["rows"] = {**_folder_rows(folder), **reader.read}
    negatives = folder.negatives if folder else None
    source["negatives"] = len(negatives or ())
    source["skipped"] = reader.skipped()
    gathered = Gathered(**vars(listed), rows=rows, negatives=negatives)
    return assemble(gathered, source, split=request.split, seed=request.seed, min_rating=request.min_rating)


@contextmanager
def _readable() -> Iterator[None]:
    """What the system refuses to open, in words."""
    try:
        yield
    except BrokenPipeError:  # of whoever listens
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise SourceError(message, "check the path, and that you may read it") from error


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """What the system refuses to write, in words."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise RoomError(
                f"{folder}: {error.strerror}", "make room there, then run the same command again"
            ) from error
        raise OutputError(f"cannot write {folder}: {error}", "choose a place that can be written") from error


def _open_folder(interactions: Any, test: Source | None, header: Sequence[str] | None) -> Folder | None:
    """The known folder that ``interactions`` names, None where it names a table."""
    if not isinstance(interactions, (str, os.PathLike)) or not Path(interactions).is_dir():
        return None
    folder = read_folder(Path(interactions))
    if test is not None and folder.has_test:
        raise CombinationError(
            f"{interactions}: has a test.txt of its own, so test= cannot be given", "leave test= out"
        )
    if test is not None or header is not None:
        raise CombinationError(
            f"{interactions}: is a known folder, which takes no test= and no header=", "leave them out"
        )
    return folder


def _folder_rows(folder: Folder | None) -> dict[str, int]:
    if folder is None:
        return {}
    triples = len(folder.knowledge.relation) if folder.knowledge else 0
    return {"interactions": len(folder.interactions) + len(folder.negatives or ()), "knowledge": triples}
