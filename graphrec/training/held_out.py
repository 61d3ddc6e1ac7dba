"""Held-out rows, what each is held against, and how far weights of a fusion bring them to the top.

S views, B users in a block, P users, N of their candidates and held-out items, C candidates of a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.layers import combine, nearness_loss
from graphrec.models import Fused
from graphrec.models.calibration import rows_of
from graphrec.models.fused import people_at_once
from graphrec.ranking import topk_rows
from graphrec.sparse import CSR

WITHIN = 50
"""A held-out item among no view's best so many is out of reach."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out items of some users and what they are held against, user after user.

    Args:
        scores: z̃ of each user's candidates, and after them of the user's held-out items, float32 [S, N].
        items: int64 [N], which those are.
        start: int64 [P + 1], user p's are from ``start[p]`` to ``start[p + 1]``.
        held: int64 [P], how many of them are held out.
        of_user, of_item: the contexts of users and items, float32 [P] and [N].
    """

    scores: Tensor
    items: Tensor
    start: Tensor
    held: Tensor
    of_user: Tensor
    of_item: Tensor

    @property
    def num_users(self) -> int:
        return len(self.held)

    @property
    def num_rows(self) -> int:
        return int(self.held.sum())

    def loss(self, attention: Tensor, log_scale: Tensor) -> tuple[float, Tensor, Tensor]:
        """Minus the sum over users of the mean 1 / log₂(1 + rank), and its gradient by w [S, 5] and g [S]."""
        gamma = log_scale.exp()
        loss, by_attention, by_gamma = nearness_loss(
            self.scores, self.start, self.held, attention, gamma, self.of_user, self.of_item
        )
        return loss, by_attention, by_gamma * gamma


def join(parts: Sequence[HeldOut]) -> HeldOut:
    """Those of some users and then those of others."""
    scores, items, held, of_user, of_item = (
        torch.cat([getattr(part, name) for part in parts], dim=-1)
        for name in ("scores", "items", "held", "of_user", "of_item")
    )
    return HeldOut(scores, items, _starts([part.start.diff() for part in parts]), held, of_user, of_item)


def _starts(sizes: Sequence[Tensor]) -> Tensor:
    """Where each user begins, and the end."""
    return torch.nn.functional.pad(torch.cat(list(sizes)).cumsum(0), (1, 0))


@torch.no_grad()
def hold_out(fused: Fused, blend: CSR, users: Tensor, generator: torch.Generator) -> HeldOut:
    """Held-out items within reach and the candidates of their users, on the CPU.

    Args:
        fused: with fitted views, and the weights whose best items are candidates too.
        blend: CSR [U, I] of the held-out rows.
        users: int64 [n], whose.
        generator: of the uniform candidates.
    """
    blocks = users.split(people_at_once(fused.graph.num_items))
    parts = [_of_block(fused, blend, block, generator) for block in blocks]
    scores, items, of_item = (torch.cat([part[place] for part in parts], dim=-1).cpu() for place in range(3))
    size, held, of_user = (torch.cat([part[place] for part in parts]).cpu() for place in range(3, 6))
    return HeldOut(scores, items, _starts([size]), held, of_user, of_item)


def _of_block(fused: Fused, blend: CSR, users: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Of a few users: scores, items and their contexts side by side; and sizes, held-out items and contexts of each."""
    history, held_out = rows_of(fused.graph.seen, users), rows_of(blend, users)
    scores = fused.standardized(history, users)
    own_row, own_item = held_out.row_index(), held_out.col.long()
    own_scores = scores[:, own_row, own_item]
    ones, contexts = torch.ones_like(scores[..., 0]), fused.degree_contexts(history.degree)
    of_fusion = combine(scores, 0 * ones, ones, fused.attention, fused.log_scale.exp(), *contexts)
    for csr in (history, held_out):
        known = (csr.row_index(), csr.col.long())
        scores[:, *known] = of_fusion[known] = -torch.inf
    best = [topk_rows(one, fused.settings.candidates) for one in (*scores, of_fusion)]
    limit = torch.stack([values[:, :WITHIN][:, -1] for values, _ in best[:-1]])
    within = (own_scores >= limit[:, own_row]).any(dim=0)
    own_row, own_item, own_scores = own_row[within], own_item[within], own_scores[:, within]

    shape = (len(users), fused.settings.negatives)
    uniform = torch.randint(fused.graph.num_items, shape, generator=generator).to(scores.device)
    items = torch.cat([*(found for _, found in best), uniform], dim=1).sort(dim=1).values
    held = torch.bincount(own_row, minlength=len(users))
    counts = (of_fusion.gather(1, items) > -torch.inf) & (held > 0)[:, None]
    counts[:, 1:] &= items[:, 1:] != items[:, :-1]
    row, place = counts.nonzero(as_tuple=True)

    row, item = torch.cat([row, own_row]), torch.cat([items[row, place], own_item])
    found = torch.cat([scores[:, row[: len(place)], item[: len(place)]], own_scores], dim=1)
    order = row.argsort(stable=True)
    of_user, of_item = fused.degree_contexts(history.degree, item[order])
    size, there = torch.bincount(row, minlength=len(users)), held > 0
    return found[:, order], item[order], of_item, size[there], held[there], of_user[there]
