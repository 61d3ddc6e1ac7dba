"""How the history model reads a history: as a mean, by attention, or in order.

R histories, I items, J used items, C candidates, P pairs of a batch, L places in a sequence, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from graphrec.layers import HistoryAttention, SequenceEncoder
from graphrec.models.timeline import Timeline
from graphrec.sampling import Batch, used_in_batch
from graphrec.sparse import CSR, spmm

if TYPE_CHECKING:
    from graphrec.models.history import History

_BLOCK_NUMBERS = 2**20
"""Pairs of a used item and a candidate held at once while ranking: what stays in a processor's cache."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Histories of a batch against candidates.

    Args:
        scores: float32 [R, C].
        user: whose each history is, int64 [R].
        row: the history of each pair of the batch, int64 [P].
        valid: whether it says anything about the pair, bool [P].
    """

    scores: Tensor
    user: Tensor
    row: Tensor
    valid: Tensor


class Pooling(nn.Module, ABC):
    """One way to read a history.

    Args:
        settings: a ``HistorySettings``.
    """

    scores_by_vectors: ClassVar[bool] = True

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def reset(self, generator: torch.Generator) -> None:
        """Draw the first values of the parameters."""

    def penalty(self) -> Tensor | float:
        """What the parameters add to the loss."""
        return 0.0

    @abstractmethod
    def score_pairs(self, model: History, batch: Batch, items: Tensor) -> Scored:
        """Scores for training, with gradient; each pair's own item is no part of what speaks for it.

        Args:
            model: whose vectors.
            batch: pairs.
            items: the candidates, int64 [C], distinct and in order.
        """

    def score(self, model: History, timeline: Timeline) -> Tensor:
        """Scores of all items, float32 [R, I]."""
        return self.pooled(model, timeline) @ model.table.T

    def pooled(self, model: History, timeline: Timeline) -> Tensor:
        """Vectors of people, float32 [R, W], whose inner products with the candidates' are the scores."""
        raise NotImplementedError

    @abstractmethod
    def contributions(self, model: History, timeline: Timeline, item: int) -> Tensor:
        """What each used item of one person adds to the score of an item, float32 [n]."""


class Mean(Pooling):
    """The mean of the used items' vectors."""

    def score_pairs(self, model: History, batch: Batch, items: Tensor) -> Scored:
        user, row = batch.user.unique(return_inverse=True)
        history = model.timeline.take(user)
        if self.settings.dropout > 0:
            history = history.without(_drawn(history, self.settings.dropout, batch.generator))
        used, local = compact(history.items)
        vectors = embedding(used, model.table)
        contains = used_in_batch(history.items, torch.arange(len(user), device=user.device), items)
        count = history.items.degree[:, None] - contains.long()
        total = spmm(local, vectors)
        scores = self.scores(model, local, used, vectors, total, items, contains, count.float())
        own = torch.searchsorted(items, batch.positive)
        return Scored(scores, user, row, count[row, own] > 0)

    def scores(
        self,
        model: History,
        local: CSR,
        used: Tensor,
        vectors: Tensor,
        total: Tensor,
        items: Tensor,
        contains: Tensor,
        count: Tensor,
    ) -> Tensor:
        """Scores [R, C] of candidates, each by the used items other than itself."""
        candidate = embedding(items, model.table)
        itself = candidate.square().sum(dim=1)
        return (total @ candidate.T - contains * itself) / count.clamp(min=1)

    def pooled(self, model: History, timeline: Timeline) -> Tensor:
        return spmm(timeline.items, model.table) / timeline.items.degree.clamp(min=1)[:, None]

    def contributions(self, model: History, timeline: Timeline, item: int) -> Tensor:
        used = timeline.items.col.long()
        return model.table[used] @ model.table[item] / max(len(used), 1)


class Attention(Mean):
    """Attention of the candidate over the used items."""

    scores_by_vectors: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.attention = HistoryAttention(settings.width, settings.heads, settings.smoothing)

    def penalty(self) -> Tensor | float:
        squares = sum(parameter.square().sum() for parameter in self.attention.parameters())
        return self.settings.attention_l2 * squares

    def scores(
        self,
        model: History,
        local: CSR,
        used: Tensor,
        vectors: Tensor,
        total: Tensor,
        items: Tensor,
        contains: Tensor,
        count: Tensor,
    ) -> Tensor:
        candidate = embedding(items, model.table)
        return self.attention(local, vectors, candidate, self.attention.query(candidate), same(used, items), count)

    def score(self, model: History, timeline: Timeline) -> Tensor:
        """Block by block of candidates; what a history holds is scored by the rest of it, like anything else."""
        used, local = compact(timeline.items)
        vectors, query = model.table[used], model.keep("query", lambda: self.attention.query(model.table))
        scores = vectors.new_empty(local.num_rows, len(model.table))
        count = local.degree[:, None].float()
        size = max(1, _BLOCK_NUMBERS // max(1, len(used)))
        for items in torch.arange(len(model.table), device=used.device).split(size):
            part = slice(int(items[0]), int(items[-1]) + 1)
            scores[:, part] = self.attention(local, vectors, model.table[part], query[part], same(used, items), count)
        row, column = local.row_index(), timeline.items.col.long()
        scores[row, column] *= (((count - 1).clamp(min=1) / count.clamp(min=1)) ** (self.settings.smoothing - 1))[
            row, 0
        ]
        return scores

    def contributions(self, model: History, timeline: Timeline, item: int) -> Tensor:
        used = timeline.items.col.long()
        return self.attention.parts(model.table[used], model.table[item], used == item)


class Sequence(Pooling):
    """Self-attention over the used items in the order of use."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.encoder = SequenceEncoder(settings.width, settings.heads, settings.blocks, settings.history)

    def reset(self, generator: torch.Generator) -> None:
        self.encoder.reset(generator)

    def score_pairs(self, model: History, batch: Batch, items: Tensor) -> Scored:
        """Each pair is scored by the state before its item; one that is older than the window, or first, by none."""
        user, row = batch.user.unique(return_inverse=True)
        sequence, _, gaps = model.timeline.take(user).windows(self.settings.history)
        states = self._states(model, sequence, gaps, batch.generator)
        at = sequence[row] == batch.positive[:, None]
        place = at.long().argmax(dim=1)
        state = states[row, (place - 1).clamp(min=0)]
        scores = state @ embedding(items, model.table).T
        own = torch.arange(len(batch), device=row.device)
        return Scored(scores, batch.user, own, at.any(dim=1) & (place > 0))

    def pooled(self, model: History, timeline: Timeline) -> Tensor:
        sequence, count, gaps = timeline.windows(self.settings.history)
        if not sequence.shape[1]:
            return model.table.new_zeros(len(count), self.settings.width)
        states = self._states(model, sequence, gaps, None)
        last = states[torch.arange(len(count), device=count.device), (count - 1).clamp(min=0)]
        return last * (count > 0)[:, None]

    def contributions(self, model: History, timeline: Timeline, item: int) -> Tensor:
        """What the score loses without each used item; these do not add up to it."""
        size = timeline.items.num_edges
        everything = timeline.take(torch.zeros(size, dtype=torch.int64, device=timeline.items.device))
        rest = everything.without(torch.eye(size, dtype=torch.bool, device=timeline.items.device).flatten())
        score, without = (self.pooled(model, one) @ model.table[item] for one in (timeline, rest))
        return score - without

    def _states(self, model: History, items: Tensor, gaps: Tensor | None, generator: torch.Generator | None) -> Tensor:
        vectors = embedding(items.clamp(min=0), model.table)
        states: Tensor = self.encoder(vectors, gaps, self.settings.dropout, generator)
        return states


def compact(history: CSR) -> tuple[Tensor, CSR]:
    """The items that some histories hold, int64 [J], and the histories with columns that count among these, [R, J]."""
    used, column = history.col.unique(return_inverse=True)
    return used.long(), CSR.unchecked(history.rowptr, column.int(), len(used))


def same(used: Tensor, items: Tensor) -> Tensor:
    """Where a used item and a candidate are one, int64 [2, n]; both are distinct and in order."""
    if not len(used):
        return used.new_zeros(2, 0)
    place = torch.searchsorted(used, items).clamp(max=len(used) - 1)
    candidate = (used[place] == items).nonzero()[:, 0]
    return torch.stack([place[candidate], candidate])


def _drawn(timeline: Timeline, share: float, generator: torch.Generator) -> Tensor:
    """A share of the pairs, bool [E]."""
    device = timeline.items.device
    return torch.rand(timeline.items.num_edges, generator=generator, device=device) < share
