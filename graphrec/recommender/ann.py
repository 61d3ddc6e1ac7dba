"""An index of item vectors for search elsewhere (faiss), and how much of the exact answer it finds.

I items, W width.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import MissingExtraError
from graphrec.ranking import rank_vectors

EXACT_ITEMS = 50_000
"""Up to so many items an index compares all."""
LINKS, BUILD_EFFORT, SEARCH_EFFORT = 32, 100, 128
K = 20
SAMPLE = 1000
_ADD_AT_ONCE = 2**16


def require_faiss() -> ModuleType:
    """faiss.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise MissingExtraError("faiss", "faiss") from None


def item_index(user_vectors: Tensor, item_vectors: Tensor) -> tuple[Callable[[Path], None], dict[str, Any]]:
    """An index of the items by inner product, their numbers as its labels.

    Few items are compared one by one (``IndexFlatIP``), many through a graph of near neighbours
    (``IndexHNSWFlat``; Malkov & Yashunin 2018).

    Args:
        user_vectors: float32 [U, W], to measure on.
        item_vectors: float32 [I, W].

    Returns:
        What writes the index to a path; and ``index``, its kind, ``recall@20`` against exact search (over ``sample``
        users drawn evenly), and ``sample``.
    """
    faiss = require_faiss()
    index = _empty_index(faiss, *item_vectors.shape)
    for rows in item_vectors.split(_ADD_AT_ONCE):
        index.add(np.ascontiguousarray(rows.cpu().numpy()))
    count = min(SAMPLE, len(user_vectors))
    users = torch.linspace(0, len(user_vectors) - 1, count).long() if count else torch.empty(0).long()
    facts = {"index": type(index).__name__, f"recall@{K}": _recall(index, user_vectors, item_vectors, users)}
    return lambda path: faiss.write_index(index, str(path)), facts | {"sample": count}


def _empty_index(faiss: ModuleType, num_items: int, width: int) -> Any:
    if num_items <= EXACT_ITEMS:
        return faiss.IndexFlatIP(width)
    index = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILD_EFFORT, SEARCH_EFFORT
    return index


def _recall(index: Any, user_vectors: Tensor, item_vectors: Tensor, users: Tensor) -> float | None:
    """The share of the exact best items that the index finds; None where there is nothing to find."""
    k = min(K, len(item_vectors))
    if not k or not len(users):
        return None
    exact = rank_vectors(user_vectors.cpu(), item_vectors.cpu(), users, k).items.numpy()
    _, found = index.search(np.ascontiguousarray(user_vectors[users].cpu().numpy()), k)
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True))
    return round(hits / exact.size, 4)
