"""Negatives: never a used item, uniform over the others; and what a batch's users have used."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from graphrec.sampling import NegativeSampler, generator_for, used_in_batch
from graphrec.sampling.negatives import _looked_up
from tests.worlds import pairs


def test_only_unused_items_and_each_equally_often() -> None:
    seen = pairs([(0, 1), (0, 3), (0, 4), (1, 0)], num_users=2, num_items=7)
    drawn = NegativeSampler(seen).sample(torch.zeros(4000, dtype=torch.int64), generator_for(1))
    count = torch.bincount(drawn, minlength=7)
    assert count[[1, 3, 4]].sum() == 0
    assert chisquare(count[[0, 2, 5, 6]].numpy()).pvalue > 1e-3


def test_one_unused_item_is_always_found() -> None:
    seen = pairs([(0, 0), (0, 2), (1, 1), (1, 2)], num_users=2, num_items=3)
    drawn = NegativeSampler(seen).sample(torch.tensor([0, 1, 0]), generator_for(5))
    assert drawn.tolist() == [1, 0, 1]


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 8)), min_size=1), st.integers(0, 100))
def test_never_a_used_item(rows: set[tuple[int, int]], seed: int) -> None:
    seen = pairs(sorted(rows), num_users=5, num_items=10)
    users = torch.arange(5).repeat(20)
    drawn = NegativeSampler(seen).sample(users, generator_for(seed))
    assert ((drawn >= 0) & (drawn < 10)).all()
    assert not rows & set(zip(users.tolist(), drawn.tolist(), strict=True))


def test_used_in_batch_matches_a_dense_lookup() -> None:
    generator = generator_for(2)
    dense = torch.rand(12, 9, generator=generator) < 0.3
    seen = pairs([tuple(pair) for pair in dense.nonzero().tolist()], num_users=12, num_items=9)
    user = torch.randint(12, (30,), generator=generator)
    item = torch.randint(9, (20,), generator=generator)
    for used in (used_in_batch, _looked_up):
        assert torch.equal(used(seen, user, item), dense[user][:, item])


def test_users_without_rows_have_used_nothing() -> None:
    seen = pairs([(0, 1)], num_users=3, num_items=2)
    assert not used_in_batch(seen, torch.tensor([1, 2]), torch.tensor([0, 1])).any()
