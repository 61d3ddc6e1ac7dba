"""Batches of training pairs, every draw derived from (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import NothingLeftError
from graphrec.sampling.negatives import NegativeSampler
from graphrec.sparse import CSR


def generator_for(*parts: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on all of ``parts`` and nothing else.

    >>> draws = [torch.rand(1, generator=generator_for(1, 2)).item() for _ in range(2)]
    >>> draws[0] == draws[1]
    True
    """
    state = np.random.SeedSequence(parts).generate_state(1, dtype=np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))


@dataclass(frozen=True)
class Batch:
    """B observed pairs and items to hold against them.

    Args:
        user, positive: int64 [B].
        negative: int64 [B], for each pair one item its user has not used; or int64 [P], a pool that all pairs share; or
            int64 [0], where none were asked for.
        generator: the source of the step's further draws (dropout).
        pooled: whether it is a pool.
        log_odds: float32 [P], how many times as often as by a uniform draw each of the pool comes, in logarithms; None
            for a uniform draw.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    generator: torch.Generator
    pooled: bool = False
    log_odds: Tensor | None = None

    def __len__(self) -> int:
        return len(self.user)


class BatchSampler:
    """Shuffles the observed pairs anew each epoch and cuts them into batches.

    Pairs of a user who has used every item are left out: nothing can be ranked below them. Beside ``seen`` an epoch
    holds its order, 4 bytes a pair (8 from 2³¹ pairs on).

    Args:
        seen: CSR [U, I] of observed pairs.
        batch_size: pairs a batch; the last one of an epoch may be smaller.
        seed: with the epoch and the step, determines every draw.
        pool: how many negatives all pairs of a batch share; 0 draws one for each pair.
        pool_by: ``uniform`` over the items, or ``popularity``: an item's share of the pairs.
        paired: whether to draw one for each pair, where there is no pool.
        whole_users: shuffle the users and leave each one's pairs together, so that a batch holds all pairs of its
            users, but of those at its two ends perhaps some.

    Raises:
        NothingLeftError: no pair to learn from.
    """

    def __init__(
        self,
        seen: CSR,
        batch_size: int,
        seed: int,
        *,
        pool: int = 0,
        pool_by: str = "uniform",
        paired: bool = True,
        whole_users: bool = False,
    ) -> None:
        self.seen = seen
        self.batch_size = batch_size
        self.seed = seed
        self.pool = pool
        self.pool_by = pool_by
        self.paired = paired
        self.whole_users = whole_users
        self.negatives = NegativeSampler(seen)
        self._usable = self._usable_pairs()
        self.num_pairs = seen.num_edges if self._usable is None else len(self._usable)
        if self.num_pairs == 0:
            raise NothingLeftError(
                "no pair to learn from: there is no interaction, or every user has used every item",
                "look at the data with: graphrec check",
            )

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-self.num_pairs // self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, the same on every call.

        Args:
            epoch: its number.
            first: how many batches to leave out at the beginning.
        """
        device, order = self.seen.device, self._order(generator_for(self.seed, epoch))
        for step in range(first, len(self)):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self._batch(rows.long(), generator_for(self.seed, epoch, step, device=device))

    def _order(self, generator: torch.Generator) -> Tensor:
        """The pairs of an epoch in the order that batches take them, places among the usable ones."""
        kind = torch.int32 if self.num_pairs < 2**31 else torch.int64
        if not self.whole_users:
            return torch.randperm(self.num_pairs, generator=generator, dtype=kind).to(self.seen.device)
        pair = torch.arange(self.num_pairs) if self._usable is None else self._usable.cpu()
        user = torch.searchsorted(self.seen.rowptr.cpu(), pair, right=True) - 1
        turn = torch.randperm(self.seen.num_rows, generator=generator)
        return turn[user].argsort(stable=True).to(kind).to(self.seen.device)

    def _batch(self, rows: Tensor, generator: torch.Generator) -> Batch:
        pair = rows if self._usable is None else self._usable[rows]
        user = torch.searchsorted(self.seen.rowptr, pair, right=True) - 1
        item = self.seen.col[pair].long()
        if not self.pool:
            negative = self.negatives.sample(user, generator) if self.paired else item[:0]
            return Batch(user, item, negative, generator)
        negative, log_odds = self._pool(generator)
        return Batch(user, item, negative, generator, True, log_odds)

    def _pool(self, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Items drawn with replacement, one that comes twice counting twice, and their log odds."""
        uniform = self.pool_by == "uniform"
        size = self.seen.num_cols if uniform else self.seen.num_edges
        drawn = torch.randint(size, (self.pool,), generator=generator, device=self.seen.device)
        if uniform:
            return drawn, None
        item = self.seen.col[drawn].long()
        return item, self._log_odds[item]

    @cached_property
    def _log_odds(self) -> Tensor:
        """ln of each item's share of the pairs ÷ 1/I; meant for items that have pairs."""
        count = torch.bincount(self.seen.col, minlength=self.seen.num_cols)
        return (count.double() * self.seen.num_cols / self.seen.num_edges).log().float()

    def _usable_pairs(self) -> Tensor | None:
        """The pairs to learn from, int64; None where all are."""
        if bool((self.seen.degree < self.seen.num_cols).all()):
            return None
        return (self.seen.degree[self.seen.row_index()] < self.seen.num_cols).nonzero()[:, 0]
