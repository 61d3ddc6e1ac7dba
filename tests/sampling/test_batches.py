"""Batches: every pair once an epoch, the same draws for the same seed, epoch and step."""

from __future__ import annotations

import itertools

import pytest
import torch

from graphrec.errors import NothingLeftError
from graphrec.sampling import BatchSampler
from tests.worlds import pairs

ROWS = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 3)]


def test_every_pair_once() -> None:
    batches = list(BatchSampler(pairs(ROWS, 3, 5), batch_size=2, seed=0).epoch(1))
    found = [pair for batch in batches for pair in zip(batch.user.tolist(), batch.positive.tolist(), strict=True)]
    assert sorted(found) == ROWS
    assert [len(batch) for batch in batches] == [2, 2, 1]


def test_draws_depend_on_seed_and_epoch_alone() -> None:
    def draws(seed: int, epoch: int) -> list[int]:
        sampler = BatchSampler(pairs(ROWS, 3, 50), batch_size=5, seed=seed)
        return [value for batch in sampler.epoch(epoch) for value in batch.negative.tolist()]

    assert draws(1, 4) == draws(1, 4)
    assert draws(1, 4) != draws(1, 5)
    assert draws(1, 4) != draws(2, 4)


def test_a_user_with_every_item_is_left_out() -> None:
    batch = next(BatchSampler(pairs([(0, 0), (0, 1), (1, 0)], 2, 2), batch_size=9, seed=0).epoch(1))
    assert batch.user.tolist() == [1]
    assert batch.negative.tolist() == [1]


@pytest.mark.parametrize("rows", [[], [(0, 0), (0, 1)]])
def test_nothing_to_learn_from(rows: list[tuple[int, int]]) -> None:
    with pytest.raises(NothingLeftError, match="no pair to learn from"):
        BatchSampler(pairs(rows, 1, 2), batch_size=4, seed=0)


def test_the_step_generator_is_seeded_by_the_step() -> None:
    sampler = BatchSampler(pairs(ROWS, 3, 5), batch_size=2, seed=0)
    first, second = (torch.rand(3, generator=batch.generator).tolist() for batch in list(sampler.epoch(1))[:2])
    assert first != second


def test_a_pool_is_shared_and_its_odds_are_those_of_the_draw() -> None:
    """Item 4 is two of the four pairs, of five items: it comes 2/4 ÷ 1/5 = 2.5 times as often as by a uniform draw."""
    seen = pairs([(0, 4), (1, 4), (2, 0), (2, 1)], 3, 5)
    batch = next(BatchSampler(seen, batch_size=3, seed=0, pool=4000, pool_by="popularity").epoch(1))
    assert batch.pooled and batch.negative.shape == batch.log_odds.shape == (4000,)
    assert set(batch.negative.tolist()) == {0, 1, 4}
    assert (batch.negative == 4).float().mean().item() == pytest.approx(0.5, abs=0.03)
    odds = batch.log_odds.exp()
    assert odds[batch.negative == 4].unique().item() == pytest.approx(2.5)
    assert odds[batch.negative == 0].unique().item() == pytest.approx(1.25)
    uniform = next(BatchSampler(seen, batch_size=3, seed=0, pool=4000).epoch(1))
    assert uniform.log_odds is None and set(uniform.negative.tolist()) == set(range(5))


def test_negatives_that_nobody_wants_are_not_drawn() -> None:
    with_them, without = (
        next(BatchSampler(pairs(ROWS, 3, 5), batch_size=3, seed=0, paired=paired).epoch(1)) for paired in (True, False)
    )
    assert len(with_them.negative) == 3 and len(without.negative) == 0
    assert torch.equal(with_them.positive, without.positive)


def test_an_epoch_can_be_gone_on_with_from_any_batch() -> None:
    sampler = BatchSampler(pairs(ROWS, 3, 5), batch_size=2, seed=0)
    whole = [batch.negative.tolist() for batch in sampler.epoch(1)]
    assert len(whole) == 3
    for first in range(4):
        assert [batch.negative.tolist() for batch in sampler.epoch(1, first)] == whole[first:]


def test_whole_users_stay_together() -> None:
    rows = [(user, item) for user in range(6) for item in range(user + 1)]
    sampler = BatchSampler(pairs(rows, 6, 9), batch_size=4, seed=0, whole_users=True)
    orders = []
    for epoch in (1, 2):
        batches = list(sampler.epoch(epoch))
        order = [pair for batch in batches for pair in zip(batch.user.tolist(), batch.positive.tolist(), strict=True)]
        users = [user for user, _ in order]
        assert sorted(order) == rows and len(batches) == len(sampler) == 6
        assert sum(one != other for one, other in itertools.pairwise(users)) == 5  # each user's pairs in one stretch
        orders.append(order)
    assert orders[0] != orders[1]


def test_whole_users_leave_out_one_who_used_everything() -> None:
    sampler = BatchSampler(pairs([(0, 0), (0, 1), (1, 0)], 2, 2), batch_size=9, seed=0, whole_users=True)
    assert next(sampler.epoch(1)).user.tolist() == [1]
