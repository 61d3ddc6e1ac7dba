"""What is asked of the reader: the tables and how they are to be read, checked once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphrec.data.columns import check_renamed
from graphrec.data.features import check_names
from graphrec.data.split import check_split
from graphrec.data.tables import Source
from graphrec.data.text import TextForm
from graphrec.errors import SettingError, nearest

BAD_ROW = ("stop", "skip")


@dataclass(frozen=True)
class Request:
    """The arguments of ``read_dataset``, which describes them, or what ``formats.unfold`` has made of them.

    Args:
        interactions: may be several files then.
        links: item_id and entity_id, which name one thing; all other names in the knowledge are entities.

    Raises:
        UsageError: an argument has no such value.
    """

    interactions: Source | tuple[Path, ...]
    knowledge: Source | None = None
    items: Source | None = None
    users: Source | None = None
    test: Source | None = None
    split: str | None = None
    seed: int = 0
    min_rating: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    header: Sequence[str] | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    on_bad_row: str = "stop"
    item_vectors: Mapping[str, Source] = field(default_factory=dict)
    user_vectors: Mapping[str, Source] = field(default_factory=dict)
    text_model: str | os.PathLike[str] | None = None
    links: Source | None = None

    def __post_init__(self) -> None:
        check_split(self.split)
        TextForm(self.header, self.delimiter, self.encoding)
        if self.on_bad_row not in BAD_ROW:
            hint = nearest(self.on_bad_row, BAD_ROW)
            raise SettingError(f"on_bad_row must be stop or skip, got {self.on_bad_row!r}", hint)
        check_renamed(self.columns)
        check_names(self.item_vectors, "item_vectors")
        check_names(self.user_vectors, "user_vectors")

    @property
    def skip(self) -> bool:
        """Whether bad rows are left out."""
        return self.on_bad_row == "skip"

    @property
    def form(self) -> TextForm:
        """How text tables are written; the header is that of the interactions."""
        return TextForm(self.header, self.delimiter, self.encoding)

    def vectors(self) -> dict[tuple[str, str], Source]:
        """The vectors that are given, by kind and modality."""
        given = {"item": self.item_vectors, "user": self.user_vectors}
        return {(kind, name): source for kind, named in given.items() for name, source in named.items()}

    def files(self) -> dict[str, str]:
        """What to call each table that is given: its path, or its type."""
        names = ("interactions", "test", "knowledge", "links", "items", "users")
        tables = {name: getattr(self, name) for name in names}
        tables |= {f"{kind}.{name}": source for (kind, name), source in self.vectors().items()}
        return {name: _called(table) for name, table in tables.items() if table is not None}


def _called(source: Source | tuple[Path, ...]) -> str:
    if isinstance(source, tuple):
        return ", ".join(map(str, source))
    return str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__
