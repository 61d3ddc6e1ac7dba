"""Final vectors with their ids, written for use elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from graphrec.data import IdMap
from graphrec.errors import CombinationError, OccupiedError, OutputError, UnknownNameError, nearest
from graphrec.files import atomic_path, write_array, write_text
from graphrec.models import VectorModel, views_of
from graphrec.recommender.ann import item_index, require_faiss
from graphrec.runs import Run

FORMATS = ("parquet", "npy", "faiss")
ROWS_AT_ONCE = 2**16
NOTE = "vectors.json"


def export_vectors(run: Run, folder: Path, format: str, view: str | None, history: bool) -> list[dict[str, Any]]:
    """See ``Recommender.export``."""
    if format not in FORMATS:
        raise UnknownNameError(
            f"unknown format {format!r}", nearest(format, FORMATS) or f"there are: {', '.join(FORMATS)}"
        )
    if format == "faiss":
        require_faiss()
    views = _views(run, view)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OccupiedError(f"{folder} is not empty", "choose another folder")
    try:
        return [
            _export(run, member, name, folder / name if len(views) > 1 else folder, format, history)
            for name, member in views.items()
        ]
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error}", "remove it and export again") from None


def _views(run: Run, view: str | None) -> dict[str, VectorModel]:
    found = {name: member for name, member in views_of(run.model).items() if isinstance(member, VectorModel)}
    if not found:
        raise CombinationError(f"model {run.model.name} has no vectors to export", "train lightgcn, gat or fused")
    if view is None:
        return found
    if view not in found:
        hint = nearest(view, found) or f"there are: {', '.join(found)}"
        raise UnknownNameError(f"model {run.model.name} has no view {view!r} with vectors", hint)
    return {view: found[view]}


def _export(run: Run, view: VectorModel, name: str, folder: Path, format: str, history: bool) -> dict[str, Any]:
    """Write one view; its note comes last. Without ``history`` there is nothing of the users in it."""
    note: dict[str, Any] = {"view": name, "format": format, "width": view.settings.width, "score": "inner product"}
    users = ("users", view.user_vectors(), run.dataset.users)
    items = ("items", view.item_vectors(), run.dataset.items)
    for kind, vectors, ids in (users, items) if history else (items,):
        note[kind] = len(ids)
        if format == "parquet":
            _write(folder / f"{kind}.parquet", partial(_write_table, vectors, ids))
            continue
        if format == "npy" or kind == "users":
            blocks = (rows.cpu().numpy() for rows in vectors.split(ROWS_AT_ONCE))
            write_array(folder / f"{kind}.npy", tuple(vectors.shape), blocks)
        _write(folder / f"{kind}_ids.parquet", partial(pq.write_table, pa.table({"id": ids.array})))
    if format == "faiss":
        index, facts = item_index(view.user_vectors(), view.item_vectors())
        _write(folder / "items.faiss", index)
        note |= facts
    write_text(folder / NOTE, json.dumps(note, indent=2) + "\n")
    return note


def _write(path: Path, write: Callable[[Path], None]) -> None:
    with atomic_path(path) as temporary:
        write(temporary)


def _write_table(vectors: Tensor, ids: IdMap, path: Path) -> None:
    """Columns ``id`` and ``vector``, a row group for some rows at a time."""
    kind = pa.list_(pa.float32(), vectors.shape[1])
    schema = pa.schema([("id", pa.large_string()), ("vector", kind)])
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for first in range(0, len(ids), ROWS_AT_ONCE):
            rows = vectors[first : first + ROWS_AT_ONCE].cpu().contiguous().numpy()
            flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), vectors.shape[1])
            writer.write_table(pa.table([ids.array[first : first + ROWS_AT_ONCE], flat], schema=schema))
