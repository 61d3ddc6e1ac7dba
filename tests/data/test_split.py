"""Splits: by hand on a few rows, then as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrec.data import Part
from graphrec.data.split import assign_parts
from graphrec.errors import DataError, UsageError

FIT, SELECT, BLEND, TEST = Part.FIT, Part.SELECT, Part.BLEND, Part.TEST


def rows(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """User u with counts[u] items, from 0."""
    user = np.repeat(np.arange(len(counts)), counts)
    return user, np.concatenate([np.arange(count) for count in counts] or [[]]).astype(int)


def counts_of(user: np.ndarray, parts: np.ndarray, part: Part, users: int) -> list[int]:
    return np.bincount(user[parts == part], minlength=users).tolist()


def test_last_takes_the_newest_row_and_of_equals_the_last_item() -> None:
    user, item = rows([3, 1, 2])
    parts = assign_parts(user, item, split="last", timestamp=np.array([9, 3, 9, 5, 1, 0]))
    assert parts.tolist() == [FIT, FIT, TEST, FIT, TEST, FIT]  # a user's only row stays in train


def test_time_takes_the_newest_fifth_of_all_rows() -> None:
    user, item = rows([5, 5])
    parts = assign_parts(user, item, split="time", timestamp=np.array([1, 2, 3, 4, 50, 60, 1, 1, 1, 1]))
    assert np.flatnonzero(parts == TEST).tolist() == [4, 5]  # 0.2 · 10 = 2 rows


def test_random_takes_a_fifth_of_each_user() -> None:
    user, item = rows([1, 2, 5, 10, 13])
    parts = assign_parts(user, item, split="random", seed=1)
    # one row: none; two rows: at least one; then round(n / 5)
    assert counts_of(user, parts, TEST, 5) == [0, 1, 1, 2, 3]


def test_select_and_blend_are_a_tenth_each_from_five_train_rows_on() -> None:
    user, item = rows([4, 5, 14, 16, 40])
    parts = assign_parts(user, item, split="given", is_test=np.zeros(len(user), dtype=bool))
    for part in (SELECT, BLEND):
        assert counts_of(user, parts, part, 5) == [0, 1, 1, 2, 4]  # max(1, round(n / 10)) for n >= 5
    assert counts_of(user, parts, FIT, 5) == [4, 3, 12, 12, 32]


@pytest.mark.parametrize("split", ["last", "time"])
def test_where_the_newest_rows_are_test_the_next_newest_are_held_out(split: str) -> None:
    user, item = rows([6])
    times = np.array([6, 1, 9, 3, 8, 5])
    parts = assign_parts(user, item, split=split, timestamp=times)
    assert parts[2] == TEST and {parts[4], parts[0]} == {SELECT, BLEND}  # of the times 1, 3, 5, 6, 8 left
    assert (parts[[1, 3, 5]] == FIT).all()
    other = {tuple(assign_parts(user, item, split=split, timestamp=times, seed=seed)[[0, 4]]) for seed in range(9)}
    assert other == {(SELECT, BLEND), (BLEND, SELECT)}


def given_parts(times: list[int], test: list[int], seed: int = 0) -> list[int]:
    """Of two users with six rows each, those in ``test`` given as test rows."""
    user, item = rows([6, 6])
    is_test = np.isin(np.arange(12), test)
    return assign_parts(user, item, split="given", seed=seed, timestamp=np.array(times), is_test=is_test).tolist()


def test_where_given_test_rows_are_the_newest_the_next_newest_are_held_out() -> None:
    times = [6, 1, 9, 3, 8, 5, 14, 11, 19, 13, 18, 15]
    for seed in range(9):
        parts = given_parts(times, [2, 8], seed)
        assert {parts[0], parts[4]} == {parts[10], parts[11]} == {SELECT, BLEND}
    others = [given_parts(times, [2, 6], seed) for seed in range(9)]  # 14 is not the newest of the second user
    assert any({parts[0], parts[4]} != {SELECT, BLEND} for parts in others)


@pytest.mark.parametrize("times", [[-1] * 12, [7] * 12], ids=["unknown", "all the same"])
def test_times_that_do_not_tell_given_test_rows_from_others_decide_nothing(times: list[int]) -> None:
    user, item = rows([6, 6])
    is_test = np.isin(np.arange(12), [2, 8])
    plain = assign_parts(user, item, split="given", is_test=is_test).tolist()
    assert given_parts(times, [2, 8]) == plain


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(0, 9), st.sampled_from(["last", "time"]))
def test_nothing_in_fit_is_newer_than_what_is_held_out(counts: list[int], seed: int, split: str) -> None:
    user, item = rows(counts)
    times = np.random.default_rng(seed).integers(0, 50, len(user))
    parts = assign_parts(user, item, split=split, seed=seed, timestamp=times)
    for each in range(len(counts)):
        fit, held = (times[(user == each) & np.isin(parts, some)] for some in ([FIT], [SELECT, BLEND]))
        assert not len(held) or fit.max() <= held.min()


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.integers(0, 9),
    st.sampled_from(["random", "last", "time"]),
)
def test_every_row_has_one_part_and_seeds_repeat(counts: list[int], seed: int, split: str) -> None:
    user, item = rows(counts)
    times = np.random.default_rng(seed).integers(0, 50, len(user))
    parts = assign_parts(user, item, split=split, seed=seed, timestamp=times)
    assert set(parts.tolist()) <= set(Part) and len(parts) == len(user)
    assert (parts == assign_parts(user, item, split=split, seed=seed, timestamp=times)).all()
    train = np.bincount(user[parts != TEST], minlength=len(counts))
    fit = np.bincount(user[parts == FIT], minlength=len(counts))
    assert (fit[train < 5] == train[train < 5]).all()
    assert (fit[train > 0] > 0).all()
    if split != "time":
        assert (train[np.array(counts) >= 2] >= 1).all() and (train > 0).all()


def test_other_seeds_draw_other_rows() -> None:
    user, item = rows([20] * 10)
    assert (assign_parts(user, item, split="random", seed=1) != assign_parts(user, item, split="random", seed=2)).any()


def test_what_a_split_needs_and_lacks() -> None:
    user, item = rows([3])
    with pytest.raises(UsageError, match=r"no split 'lst'\ndid you mean last\?"):
        assign_parts(user, item, split="lst")
    with pytest.raises(DataError, match="'time' needs timestamps"):
        assign_parts(user, item, split="time")
    with pytest.raises(DataError, match="'given' needs test rows"):
        assign_parts(user, item, split="given")
