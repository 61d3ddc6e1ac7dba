"""Folders of tables under known names.

- RecBole's atomic files: ``NAME.inter``, or ``NAME.train.inter`` with ``NAME.valid.inter`` and ``NAME.test.inter``, and
  beside them ``NAME.item``, ``NAME.user``, ``NAME.kg`` and ``NAME.link``; each has a header such as
  ``user_id:token<TAB>rating:float``.
- MovieLens: ``ratings.dat``, ``movies.dat`` and ``users.dat``, fields parted by ``::``, without a header.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphrec.data.request import Request
from graphrec.errors import CombinationError, SourceError

RECBOLE = {"head": "head_id", "relation": "relation_id", "tail": "tail_id"}  # our name → theirs
PARTS = ("train", "valid", "test")


def unfold(request: Request) -> Request:
    """The request with the tables in place of the folder that holds them; any other request as it is.

    What the caller gives beside the folder replaces the folder's own.

    Raises:
        DataError: the folder holds several data sets.
        UsageError: an argument that such a folder does not take.
    """
    source = request.interactions
    if not isinstance(source, str | os.PathLike) or not Path(source).is_dir():
        return request
    tables = _recbole(Path(source)) or _movielens(Path(source))
    if not tables:
        return request
    if request.header is not None:
        raise CombinationError(
            f"{source}: its files have known columns, so header= cannot be given", "leave header= out"
        )
    if request.test is not None and "test" in tables:
        raise CombinationError(f"{source}: has test rows of its own, so test= cannot be given", "leave test= out")
    columns = dict(request.columns)
    if request.knowledge is not None:
        tables.pop("links", None)
    elif "knowledge" in tables:
        columns = RECBOLE | columns
    given = {name: getattr(request, name) for name in tables if name != "interactions"}
    tables |= {name: table for name, table in given.items() if table is not None}
    return replace(request, **tables, columns=columns)


def _recbole(path: Path) -> dict[str, Any]:
    """Atomic files by the argument that they are; none if there is no .inter file."""
    stems = {other.name.removesuffix(".inter") for other in path.glob("*.inter")}
    names = {stem.rpartition(".")[0] if stem.rpartition(".")[2] in PARTS else stem for stem in stems}
    if not names:
        return {}
    if len(names) > 1 or len(names & stems) == 1 < len(stems):
        found = ", ".join(sorted(f"{stem}.inter" for stem in stems))
        raise SourceError(f"{path}: holds more than one data set: {found}", "leave the files of one in the folder")
    name = names.pop()
    if stems == {name}:
        tables: dict[str, Any] = {"interactions": path / f"{name}.inter"}
    else:
        parts = {part: path / f"{name}.{part}.inter" for part in PARTS if f"{name}.{part}" in stems}
        if "train" not in parts:
            raise SourceError(f"{path}: has no {name}.train.inter", "add it, or name the file with the interactions")
        tables = {"interactions": tuple(parts[part] for part in PARTS[:2] if part in parts)}
        tables |= {"test": parts["test"]} if "test" in parts else {}
    beside = {"items": "item", "users": "user", "knowledge": "kg", "links": "link"}
    return tables | _there({table: path / f"{name}.{suffix}" for table, suffix in beside.items()})


def _movielens(path: Path) -> dict[str, Any]:
    files = {"interactions": path / "ratings.dat", "items": path / "movies.dat", "users": path / "users.dat"}
    return _there(files) if files["interactions"].is_file() else {}


def _there(files: dict[str, Path]) -> dict[str, Any]:
    return {table: path for table, path in files.items() if path.is_file()}
