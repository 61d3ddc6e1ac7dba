"""Hypothesis strategies for damage to a folder that graphrec has written: a run, a graph, or checkpoints."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from fuzz_inputs import PICKLE
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from graphrec.training.checkpoint import digest

WORDS = ["", "x", "../x", "/etc/passwd", "lightgcn", "item_knn", "float32", "F32", "user", "cuda", "neighbor", "0" * 64]
VALUES = [
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    64,
    2**31,
    2**63,
    10**18,
    10**400,
    -0.5,
    1.5,
    1e300,
    float("nan"),
    float("inf"),
]
values = st.sampled_from([*VALUES, *WORDS, [], {}, [0], [2**40, 2**40], [-1, -1], {"x": 1}, {"../x": [1, 1]}])
KINDS = ["flip", "flip", "cut", "drop", "fill", "swap", "value", "value", "value", "value", "number", "number", "rows"]


@dataclass(frozen=True)
class Damage:
    """What is done to one file of a folder.

    Args:
        file, other: positions among the files of the folder, counted around.
        kind: one of KINDS.
        place: in the file, from 0 to 1.
        content: bytes that take the place of others.
        value: takes the place of another in JSON, TOML, or a header.
    """

    file: int
    kind: str
    place: float
    other: int
    content: bytes
    value: Any

    def do(self, folder: Path) -> str:
        """Damage the folder; returns the path of the file in it, or nothing where there is no file left."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            return ""
        fitting = [path for path in files if (self.kind, path.suffix) in EDITS] or files
        path, other = fitting[self.file % len(fitting)], files[self.other % len(files)]
        if self.kind == "drop":
            path.unlink()
        else:
            before = path.read_bytes()
            path.write_bytes(other.read_bytes() if self.kind == "swap" else self.changed(path, before))
        return path.relative_to(folder).as_posix()

    def changed(self, path: Path, before: bytes) -> bytes:
        """What the file holds after it."""
        place = int(self.place * max(0, len(before) - 1))
        if self.kind == "cut":
            return before[:place]
        if self.kind == "fill":
            return self.content
        try:
            return EDITS.get((self.kind, path.suffix), flipped)(self, before, place)
        except Exception:  # it was damaged before, and is no longer of its form
            return flipped(self, before, place)


def flipped(damage: Damage, before: bytes, place: int) -> bytes:
    """Some bytes replaced."""
    return before[:place] + damage.content[:8] + before[place + len(damage.content[:8]) :]


def numbered(damage: Damage, before: bytes, place: int) -> bytes:
    """A number behind the header replaced by an odd one."""
    odd = [-1, 2**31 - 1, -(2**31), 255, 0x7F800000, 0x7FC00000, 0x7F7FFFFF, 10**6, 1, 0]
    start = place // 8 * 8
    return before[:start] + int(odd[damage.other % len(odd)] % 2**32).to_bytes(4, "little") + before[start + 4 :]


def json_edited(damage: Damage, before: bytes, place: int) -> bytes:
    """A value in JSON replaced."""
    return json.dumps(replaced(json.loads(before), damage)).encode()


def toml_edited(damage: Damage, before: bytes, place: int) -> bytes:
    """A value in TOML replaced, or removed where TOML has no such value."""
    found = replaced(tomllib.loads(before.decode()), damage)
    try:
        return tomli_w.dumps(found).encode()
    except (TypeError, ValueError):
        return before.replace(b" = ", b" = 1e", 1)


def header_edited(damage: Damage, before: bytes, place: int) -> bytes:
    """A value in the header of a safetensors file replaced."""
    size = int.from_bytes(before[:8], "little")
    header = json.loads(before[8 : 8 + size])
    told = header.get("__metadata__", {})
    if "record" in told and damage.other % 2:  # JSON within JSON: the history of a checkpoint
        told["record"] = json.dumps(replaced(json.loads(told["record"]), replace(damage, other=damage.other // 2)))
    else:
        header = replaced(header, damage)
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + before[8 + size :]


def sealed_anew(path: Path) -> None:
    """Give a checkpoint the digest of what it now holds, if it can be read at all."""
    with suppress(SafetensorError, KeyError, TypeError):
        with safe_open(path, framework="pt") as file:
            tensors, told = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
        save_file(tensors, path, metadata=told | {"sha256": digest(tensors, told["record"])})


def array_edited(damage: Damage, before: bytes, place: int) -> bytes:
    """The type or the shape in the header of a .npy file replaced."""
    array = np.load(io.BytesIO(before))
    shapes = [
        (10**18,),
        (-1,),
        (),
        (len(array) + 1, *array.shape[1:]),
        array.shape[::-1],
        (array.size,),
        (0,),
        (2**40, 2**40),
    ]
    kinds = ["<f4", "<i4", "<i8", "|u1", ">f4", "<f8", "|O", "<U8", "|b1", "<c8"]
    sink = io.BytesIO()
    kind = array.dtype.str if damage.other % 2 else kinds[damage.other // 2 % len(kinds)]
    shape = shapes[damage.other // 2 % len(shapes)] if damage.other % 2 else array.shape
    np.lib.format.write_array_header_1_0(sink, {"descr": kind, "fortran_order": damage.place > 0.8, "shape": shape})
    return sink.getvalue() + array.tobytes()


def table_edited(damage: Damage, before: bytes, place: int) -> bytes:
    """Rows or a column of a Parquet table dropped, doubled, emptied, or of another type."""
    table = pq.read_table(io.BytesIO(before))
    name, rows = table.column_names[damage.other % table.num_columns], table.num_rows
    column = table[name]
    ways: list[Callable[[], pa.Table]] = [
        lambda: table.slice(1),
        lambda: table.take(pa.array([*range(rows - 1), 0])),
        lambda: table.drop_columns([name]),
        lambda: table.rename_columns(["x" if other == name else other for other in table.column_names]),
        lambda: table.append_column(name, column),
        lambda: table.set_column(0, name, pa.array([None] * rows, column.type)),
        lambda: table.set_column(0, name, pa.array([1.5] * rows)),
        lambda: table.set_column(0, name, column.dictionary_encode()),
        lambda: table.set_column(0, name, pa.array([10**9] * rows)),
        lambda: table.set_column(0, name, pa.array([b"\xff"] * rows)),
    ]
    sink = io.BytesIO()
    pq.write_table(ways[int(damage.place * (len(ways) - 1))](), sink)
    return sink.getvalue()


def replaced(found: Any, damage: Damage) -> Any:
    """An object with one value in it replaced, or one more beside it."""
    if damage.place < 0.02 or not isinstance(found, dict | list):
        return damage.value
    places = list(_places(found))
    if not places or damage.place > 0.95:
        return found | {"x": damage.value} if isinstance(found, dict) else [*found, damage.value]
    owner, key = places[damage.other % len(places)]
    if damage.place > 0.9:
        del owner[key]
    else:
        owner[key] = damage.value
    return found


def _places(found: Any) -> Any:
    """(owner, key) of each value in an object, inner ones too."""
    for key in list(found) if isinstance(found, dict) else range(len(found)):
        yield found, key
        if isinstance(found[key], dict | list):
            yield from _places(found[key])


EDITS: dict[tuple[str, str], Callable[[Damage, bytes, int], bytes]] = {
    ("value", ".json"): json_edited,
    ("value", ".toml"): toml_edited,
    ("value", ".safetensors"): header_edited,
    ("value", ".npy"): array_edited,
    ("value", ".parquet"): table_edited,
    ("rows", ".parquet"): table_edited,
    ("rows", ".npy"): array_edited,
    ("number", ".npy"): numbered,
    ("number", ".safetensors"): numbered,
}

damages = st.builds(
    Damage,
    file=st.integers(0, 1000),
    kind=st.sampled_from(KINDS),
    place=st.floats(0, 1),
    other=st.integers(0, 1000),
    content=st.binary(max_size=12) | st.sampled_from([PICKLE, b"", b"PAR1" * 4, b"\x93NUMPY\x01\x00", b"[" * 100_000]),
    value=values,
)
