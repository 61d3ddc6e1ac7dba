"""What has been read before it is numbered: rows with names."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class InteractionRows:
    """Interactions as read: one entry a row, ids dictionary-encoded.

    Args:
        is_test: bool, whether the row came as test.
        values: "timestamp" int64, "rating" and "weight" float32, where read.
    """

    user: pa.DictionaryArray
    item: pa.DictionaryArray
    is_test: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.is_test)


@dataclass(frozen=True)
class KnowledgeRows:
    """Knowledge as read: one entry a row; ``*_kind`` is a position in KINDS, or UNTYPED."""

    head: pa.DictionaryArray
    head_kind: np.ndarray
    relation: np.ndarray
    tail: pa.DictionaryArray
    tail_kind: np.ndarray
    relations: tuple[str, ...]


@dataclass(frozen=True)
class Described:
    """Ids that a table lists, distinct, and what it says about them (None: nothing)."""

    ids: pa.Array
    attributes: pa.Table | None = None


@dataclass(frozen=True)
class Folder:
    """What a known folder holds; ``negatives`` are the pairs of label 0, which are no interactions."""

    format: str
    interactions: InteractionRows
    has_test: bool
    knowledge: KnowledgeRows | None
    users: Described
    items: Described
    entities: Described
    negatives: InteractionRows | None = None
