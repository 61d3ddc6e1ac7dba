"""Held-out rows, what each is held against, and how far weights of a fusion bring them to the top.

S views, P users, R of their held-out rows, C candidates a user.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.models import Fused
from graphrec.models.calibration import rows_of
from graphrec.ranking import topk_rows
from graphrec.sparse import CSR

WITHIN = 50
"""A held-out item among no view's best so many is out of reach."""
SOFTNESS = 0.3
"""By how much a score must be above another to count as above it: the width of the sigmoid."""
_BLOCK_SCORES = 2**22
_PART_SCORES = 2**18  # of a part's candidates: what is computed of them stays in the cache


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out rows of some users and what each is held against.

    Args:
        candidates: z̃ [S, P, C]; items int64 [P, C]; allowed bool [P, C], False for those that do not count.
        positive: z̃ [S, R, 1]; positive_item int64 [R, 1]; owner int64 [R], the row's place among the P users.
        user_degree: int64 [P].
    """

    candidates: Tensor
    items: Tensor
    allowed: Tensor
    positive: Tensor
    positive_item: Tensor
    owner: Tensor
    user_degree: Tensor

    def loss(self, fused: Fused) -> Tensor:
        """Minus the sum over rows of 1 / log₂(1 + rank), of each held-out item among its user's candidates."""
        against = fused.weigh(self.candidates, self.user_degree, self.items).sum(dim=0)
        against = against.masked_fill(~self.allowed, -torch.inf)
        own = fused.weigh(self.positive, self.user_degree[self.owner], self.positive_item).sum(dim=0)
        rank = 1 + ((against[self.owner] - own) / SOFTNESS).sigmoid().sum(dim=1)
        return -(1 + rank).log2().reciprocal().sum()


@torch.no_grad()
def hold_out(fused: Fused, blend: CSR, users: Tensor, generator: torch.Generator) -> list[HeldOut]:
    """Held-out rows within reach and the candidates of their users, a few users in each part.

    Args:
        fused: with fitted views, and the weights whose best items are candidates too.
        blend: CSR [U, I] of the held-out rows.
        users: int64 [n], whose.
        generator: of the uniform candidates.
    """
    parts: list[HeldOut] = []
    for block in users.split(max(1, _BLOCK_SCORES // fused.graph.num_items)):
        history, held_out = rows_of(fused.graph.seen, block), rows_of(blend, block)
        scores = fused.standardized(history, block)
        items, allowed, limit = _candidates(fused, scores, history, held_out, generator)
        row, positive = held_out.row_index(), held_out.col.long()
        within = (scores[:, row, positive] >= limit[:, row]).any(dim=0)
        row, positive = row[within], positive[within]
        if not len(row):
            continue
        for some in row.unique().split(max(1, _PART_SCORES // (len(scores) * items.shape[1]))):
            own = (row >= some[0]) & (row <= some[-1])
            parts.append(
                HeldOut(
                    candidates=scores[:, some].gather(2, items[some].expand(len(scores), -1, -1)),
                    items=items[some],
                    allowed=allowed[some],
                    positive=scores[:, row[own], positive[own], None],
                    positive_item=positive[own, None],
                    owner=torch.searchsorted(some, row[own]),
                    user_degree=history.degree[some],
                )
            )
    return parts


def _candidates(
    fused: Fused, scores: Tensor, history: CSR, held_out: CSR, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Items to hold against the held-out ones.

    Returns:
        items int64 [B, C]; allowed bool [B, C], False in the places that a user with fewer candidates has left; and
        the score that is within reach in each view, float32 [S, B].
    """
    settings = fused.settings
    known = torch.zeros(scores.shape[1:], dtype=torch.bool, device=scores.device)
    for csr in (history, held_out):
        known[csr.row_index(), csr.col.long()] = True
    fusion = fused.weigh(scores, history.degree).sum(dim=0)
    best = [topk_rows(one.masked_fill(known, -torch.inf), settings.candidates) for one in (*scores, fusion)]
    limit = torch.stack([values[:, :WITHIN][:, -1] for values, _ in best[:-1]])
    shape = (len(known), settings.negatives)
    uniform = torch.randint(fused.graph.num_items, shape, generator=generator).to(scores.device)
    items = torch.cat([*(found for _, found in best), uniform], dim=1).sort(dim=1).values
    allowed = ~known.gather(1, items)
    allowed[:, 1:] &= items[:, 1:] != items[:, :-1]
    first = allowed.byte().argsort(dim=1, descending=True, stable=True)[:, : int(allowed.sum(dim=1).max())]
    return items.gather(1, first), allowed.gather(1, first), limit
