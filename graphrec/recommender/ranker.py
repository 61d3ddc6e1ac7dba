"""Ranking for known users by number: what every way to recommend shares."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphrec.graph import rows_csr
from graphrec.models import Fused, Model, VectorModel, views_of
from graphrec.ranking import Ranking, rank, rank_vectors
from graphrec.runs import Run
from graphrec.sparse import CSR
from graphrec.training import TRAIN_PARTS

_ROWS_AT_ONCE = 2**16


class Ranker:
    """A run's model, and what its users have in the train rows.

    Args:
        run: finished.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def train_rows(self) -> CSR:
        """What each user has in the train rows, CSR [U, I]."""
        graph = self.run.model.graph
        return graph.seen if self.run.config.refit else rows_csr(self.run.dataset, TRAIN_PARTS).to(graph.device)

    def index(self, users: Sequence[str] | None) -> np.ndarray:
        """Numbers of the users, int32; of all, in order, if None."""
        ids = self.run.dataset.users
        return np.arange(len(ids), dtype=np.int32) if users is None else ids.index(users, "user")

    def allowed(self, items: Sequence[str] | None, exclude: Sequence[str] | None) -> Tensor | None:
        """The items to choose from, bool [I]; None means all."""
        if items is None and exclude is None:
            return None
        ids = self.run.dataset.items
        allowed = torch.full((len(ids),), items is None)
        if items is not None:
            allowed[ids.index(items, "item")] = True
        if exclude is not None:
            allowed[ids.index(exclude, "item")] = False
        return allowed.to(self.run.model.graph.device)

    def rank(self, users: np.ndarray, k: int, filter_seen: bool, allowed: Tensor | None) -> Ranking:
        """The best items of a block of users, by the fastest way that the model has."""
        model, seen = self.run.model, self.train_rows if filter_seen else None
        numbers = torch.as_tensor(users, dtype=torch.int64, device=model.graph.device)
        vectors = None if numbers.is_cuda else _scoring_view(model).vectors()
        if vectors is None:
            num_items = self.run.dataset.num_items
            return rank(model.score_block, numbers, k, num_items=num_items, seen=seen, allowed=allowed)
        return rank_vectors(*vectors, numbers, k, seen=seen, allowed=allowed)

    def digest(self) -> str:
        """A digest of all that decides a list: scores, train rows, ids."""
        digest, dataset = hashlib.sha256(), self.run.dataset
        for view in views_of(self.run.model).values():
            tensors = [*view.state_dict().values()]
            for tensor in [view.user_vectors(), view.item_vectors()] if isinstance(view, VectorModel) else tensors:
                _add(digest, tensor)
        if isinstance(self.run.model, Fused):
            for name, tensor in self.run.model.state_dict().items():
                if not name.startswith("views."):
                    _add(digest, tensor)
        times = self.run.model.graph.times
        for tensor in (self.train_rows.rowptr, self.train_rows.col, *([] if times is None else [times])):
            _add(digest, tensor)
        for ids in (dataset.users, dataset.items):
            for first in range(0, len(ids), _ROWS_AT_ONCE):
                digest.update("\0".join(ids.array[first : first + _ROWS_AT_ONCE].to_pylist()).encode())
        return digest.hexdigest()


def _scoring_view(model: Model) -> Model:
    """The view that a fusion uses alone, or the model itself."""
    chosen = model.chosen if isinstance(model, Fused) else None
    return model if chosen is None else views_of(model)[chosen]


def _add(digest: hashlib._Hash, tensor: Tensor) -> None:
    digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
    for rows in tensor.detach().reshape(-1, *tensor.shape[1:]).split(_ROWS_AT_ONCE):
        digest.update(rows.cpu().contiguous().numpy().tobytes())
