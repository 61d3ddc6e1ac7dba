"""Batches of training pairs, every draw derived from (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import TrainingError
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
    """B observed pairs, each with one item its user has not used.

    Args:
        user, positive, negative: int64 [B].
        generator: the source of the step's further draws (dropout).
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    generator: torch.Generator

    def __len__(self) -> int:
        return len(self.user)


class BatchSampler:
    """Shuffles the observed pairs anew each epoch and cuts them into batches.

    Pairs of a user who has used every item are left out: nothing can be ranked below them.

    Args:
        seen: CSR [U, I] of observed pairs.
        batch_size: pairs a batch; the last one of an epoch may be smaller.
        seed: with the epoch and the step, determines every draw.

    Raises:
        TrainingError: no pair to learn from.
    """

    def __init__(self, seen: CSR, batch_size: int, seed: int) -> None:
        user = seen.row_index()
        usable = seen.degree[user] < seen.num_cols
        self.negatives = NegativeSampler(seen)
        self.batch_size = batch_size
        self.seed = seed
        self.user = user[usable]
        self.item = seen.col[usable].long()
        if len(self.user) == 0:
            raise TrainingError(
                "no pair to learn from: there is no interaction, or every user has used every item",
                "look at the data with: graphrec check",
            )

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.user) // self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, the same on every call."""
        order = torch.randperm(len(self.user), generator=generator_for(self.seed, epoch)).to(self.user.device)
        for step, rows in enumerate(order.split(self.batch_size)):
            generator = generator_for(self.seed, epoch, step, device=self.user.device)
            user = self.user[rows]
            yield Batch(user, self.item[rows], self.negatives.sample(user, generator), generator)
