"""Tables in, integers out: reading, ids, splits. Never imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphrec.data.check import check_dataset
from graphrec.data.dataset import Dataset, Interactions, Knowledge, Pairs
from graphrec.data.ids import IdMap
from graphrec.data.reading import build_dataset, read_dataset
from graphrec.data.split import Part

if TYPE_CHECKING:
    from graphrec.data import synthetic

__all__ = [
    "Dataset",
    "IdMap",
    "Interactions",
    "Knowledge",
    "Pairs",
    "Part",
    "build_dataset",
    "check_dataset",
    "read_dataset",
    "synthetic",
]


def __getattr__(name: str) -> Any:
    if name == "synthetic":  # not imported above, so that python -m graphrec.data.synthetic imports it once
        return import_module("graphrec.data.synthetic")
    raise AttributeError(f"module 'graphrec.data' has no attribute {name!r}")
