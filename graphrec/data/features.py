"""What is known of users and items besides who used what, as rows of numbers: by kind of node and modality."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphrec.data.attributes import describe
from graphrec.data.columns import ORIGINAL_ID
from graphrec.data.ids import IdMap
from graphrec.data.storage import blocks
from graphrec.data.vectors import Vectors
from graphrec.errors import BadRowError, GraphFolderError, SettingError
from graphrec.files import map_array, write_array

Features = dict[str, dict[str, np.ndarray]]
NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # of a modality: it is part of a file's name


@dataclass(frozen=True)
class Side:
    """What features are made of besides the attributes of the tables.

    Args:
        vectors: as read.
        text_model: the folder of a sentence-transformers model, for the text columns; None for TF-IDF.
        skip: whether vectors of unknown ids are left out and counted.
    """

    vectors: tuple[Vectors, ...] = ()
    text_model: str | os.PathLike[str] | None = None
    skip: bool = False


def check_names(names: Mapping[str, Any], argument: str) -> None:
    """Refuse names of modalities that cannot be names of files."""
    for name in names:
        if not re.fullmatch(NAME, name):
            raise SettingError(f"{argument}: a name is made of letters, digits, - and _, got {name!r}", "image, say")


def make_features(
    tables: Mapping[str, pa.Table | None], ids: Mapping[str, IdMap], side: Side
) -> tuple[Features, dict[str, dict[str, int]]]:
    """Features of each kind of node: the attributes of its table, and vectors, which replace attributes of their name.

    Args:
        tables: attributes by kind, row i for index i.
        ids: by kind.
        side: vectors, and how to read text.

    Returns:
        float32 [n, width] by kind and modality, NaN in the rows of which nothing is known; and by ``kind.modality`` the
        width, the rows of which something is known, and how many vectors of unknown ids were left out.

    Raises:
        DataError: a vector of an id that the data does not have.
    """
    features: Features = {}
    facts: dict[str, dict[str, int]] = {}
    for kind, table in tables.items():
        if table is not None:
            told = [name for name in table.column_names if name != ORIGINAL_ID]  # which names a row and tells nothing
            features[kind] = describe(table.select(told), side.text_model)
    for vectors in side.vectors:
        values, unknown = _aligned(vectors, ids[vectors.kind], side.skip)
        features.setdefault(vectors.kind, {})[vectors.modality] = values
        facts[f"{vectors.kind}.{vectors.modality}"] = {"unknown": unknown}
    features = {kind: found for kind, found in features.items() if found}
    for kind, found in features.items():
        for name, values in found.items():
            about = {"width": values.shape[1], "rows": int((~np.isnan(values[:, 0])).sum())}
            facts[f"{kind}.{name}"] = about | facts.get(f"{kind}.{name}", {})
    return features, facts


def _aligned(vectors: Vectors, ids: IdMap, skip: bool) -> tuple[np.ndarray, int]:
    """Row i for index i, and how many vectors belong to nobody."""
    index = ids.lookup(vectors.ids)
    known = index >= 0
    if not known.all() and not skip:
        place = int(np.flatnonzero(~known)[0])
        name, count = vectors.ids[place].as_py(), int((~known).sum())
        message = f"{vectors.where}, row {vectors.row[place]}: there is no {vectors.kind} {name!r}"
        more = f" (nor those of {count - 1} other rows)" if count > 1 else ""
        raise BadRowError(message + more, "correct it, or skip bad rows with --on-bad-row skip")
    values = np.full((len(ids), vectors.values.shape[1]), np.nan, dtype=np.float32)
    values[index[known]] = vectors.values[known]
    return values, int((~known).sum())


def widths(features: Features) -> dict[str, dict[str, int]]:
    """The width of each modality, by kind."""
    return {kind: {name: values.shape[1] for name, values in found.items()} for kind, found in features.items()}


def named_features(features: Features) -> dict[str, np.ndarray]:
    """Features by ``kind.modality``, in the order of these names."""
    named = {f"{kind}.{name}": values for kind, found in features.items() for name, values in found.items()}
    return dict(sorted(named.items()))


def save_features(features: Features, folder: Path) -> None:
    """Write a file for each kind and modality, and leave none from before."""
    paths = {folder / f"{name}.npy": values for name, values in named_features(features).items()}
    for path, values in paths.items():
        write_array(path, values.shape, (block for (block,) in blocks(values)))
    for path in folder.glob("*.npy"):
        if path not in paths:
            path.unlink()


def load_features(header: Mapping[str, Mapping[str, int]], counts: Mapping[str, int], folder: Path) -> Features:
    """Memory maps of what ``save_features`` wrote, looked through once.

    Args:
        header: width by kind and modality.
        counts: rows by kind.
        folder: of the files.

    Raises:
        DataError: a file is missing, damaged, of another shape or type, or holds a row that is neither finite nor NaN.
    """
    return {
        kind: {name: _open(folder / f"{kind}.{name}.npy", (counts[kind], width)) for name, width in found.items()}
        for kind, found in header.items()
    }


def _open(path: Path, shape: tuple[int, int]) -> np.ndarray:
    hint = "build the folder anew"
    try:
        values = map_array(path)
    except (OSError, ValueError) as error:
        raise GraphFolderError(f"{path}: missing or damaged ({error})", hint) from error
    if values.dtype != np.float32 or values.shape != shape:
        found = f"{values.dtype} {list(values.shape)}"
        raise GraphFolderError(f"{path}: holds {found}, and dataset.json says float32 {list(shape)}", hint)
    for (block,) in blocks(values):
        finite = np.isfinite(block)
        if not (finite.all(axis=1) | np.isnan(block).all(axis=1)).all():
            raise GraphFolderError(f"{path}: holds rows that are neither numbers nor absent", hint)
    return values
