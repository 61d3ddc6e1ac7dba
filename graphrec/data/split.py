"""Which part each interaction belongs to. Rows come sorted by (user, item), so no draw depends on the input's order."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np

from graphrec.errors import DataError, SplitError, UnknownNameError, nearest

SPLITS = ("given", "random", "last", "time")
TEST_SHARE = 0.2  # of the rows, for random and time
HELD_SHARE = 0.1  # of a user's train rows, for select and again for blend
FEWEST = 5  # train rows from which a user gives some to select and blend
NEWEST = ("last", "time")  # splits whose test rows are the newest
NEEDS = {"given": "is_test", "last": "timestamp", "time": "timestamp"}  # the column that a split goes by
SPANS = 1 << 16  # of time, counted in one pass
_TEST_STREAM, _HELD_STREAM = 0, 1  # keep the draws of the two steps apart
_NEGATIVES = 2  # added to both: pairs of label 0 are drawn apart from those of label 1

Columns = Mapping[str, np.ndarray]
"""Some rows: int ``user``, and as far as there are any, int64 ``timestamp`` and bool ``is_test``, one entry a row."""


class Part(IntEnum):
    """FIT: trained on. SELECT: stopping and tuning. BLEND: fusion weights. TEST: judged on, once."""

    FIT = 0
    SELECT = 1
    BLEND = 2
    TEST = 3


def check_split(split: str | None) -> None:
    """Refuse a split that does not exist."""
    if split is not None and split not in SPLITS:
        hint = nearest(split, SPLITS) or f"the splits are {', '.join(SPLITS)}"
        raise UnknownNameError(f"there is no split {split!r}", hint)


def assign_parts(
    user: np.ndarray,
    item: np.ndarray,
    *,
    split: str,
    seed: int = 0,
    timestamp: np.ndarray | None = None,
    is_test: np.ndarray | None = None,
) -> np.ndarray:
    """The part of each row: test by ``split``, then 10 % select and 10 % blend of each user's train rows.

    These are drawn at random; where the test rows are the newest, select and blend share the user's newest train rows:
    for last and time, and for given if ``given_newest`` says so.

    - given: test rows are the ones in ``is_test``.
    - random: a fifth of each user's rows, at least one, for users with two rows or more.
    - last: the newest row of each user with two rows or more; of equally new ones, the last in item order.
    - time: the newest fifth of all rows; among equally old ones, the last in (user, item) order.

    Select and blend each get round(n / 10) of a user's n train rows, at least one; users with fewer than 5 train rows
    stay wholly in fit.

    Args:
        user, item: int, one entry a row, sorted by (user, item).
        split: one of SPLITS.
        seed: of all random choices.
        timestamp: int64, needed by last and time.
        is_test: bool, needed by given.

    Returns:
        uint8 values of Part.

    >>> assign_parts(np.zeros(4, int), np.arange(4), split="last", timestamp=np.array([5, 9, 9, 1])).tolist()
    [0, 0, 3, 0]
    """
    columns = {"timestamp": timestamp, "is_test": is_test}
    check_needs(split, [name for name, column in columns.items() if column is not None])
    known = {name: np.asarray(column) for name, column in columns.items() if column is not None}
    splitter = Splitter.of_rows(split, seed, lambda: iter([{"user": user, **known}]), len(user))
    return splitter.assign(user, item, timestamp=timestamp, is_test=is_test)


def assign_negatives(user: np.ndarray, item: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The part of each pair of label 0: by the rule of ``random``, with draws of their own. Arguments as assign_parts.

    >>> np.bincount(assign_negatives(np.zeros(10, int), np.arange(10)), minlength=4).tolist()
    [6, 1, 1, 2]
    """
    return Splitter("random", seed, stream=_NEGATIVES).assign(user, item, timestamp=None, is_test=None)


def check_needs(split: str, columns: Container[str]) -> None:
    """Refuse a split that does not exist, or whose column is not there.

    Args:
        split: one of SPLITS.
        columns: which of "timestamp" and "is_test" there are.
    """
    check_split(split)
    needed = NEEDS.get(split)
    if needed is not None and needed not in columns:
        raise _impossible(split)


@dataclass(frozen=True)
class Cut:
    """Where the newest rows begin: all rows later than ``time``, and of those at it all but the first ``earlier``."""

    time: int
    earlier: int


def newest_cut(blocks: Callable[[], Iterator[np.ndarray]], newest: int) -> Cut | None:
    """The cut before the ``newest`` last rows in order of time, then of place; None for no rows.

    Each pass over the blocks counts the rows in equal spans of time and looks closer at the span with the cut, so that
    memory does not grow with the rows.

    Args:
        blocks: a fresh pass over the times, int64 ≥ −1, block after block.
        newest: how many rows lie behind the cut.

    >>> newest_cut(lambda: iter([np.array([5, 9]), np.array([9, 9, 1])]), 2)
    Cut(time=9, earlier=1)
    """
    if newest == 0:
        return None
    low = min(int(block.min(initial=np.iinfo(np.int64).max)) for block in blocks())
    high = max(int(block.max(initial=-1)) for block in blocks())
    wanted = newest  # of the rows at times in [low, high], so many lie behind the cut
    while True:
        width = -(-(high - low + 1) // SPANS)
        counts = np.zeros(SPANS, dtype=np.int64)
        for block in blocks():
            inside = block[(block >= low) & (block <= high)] - low
            places = inside.view(np.uint64) // np.uint64(width)  # from −1 to the last time is more than int64 holds
            counts += np.bincount(places.astype(np.int64), minlength=SPANS)
        behind = np.cumsum(counts[::-1])[::-1]  # rows in this span and later ones
        span = int(np.flatnonzero(behind >= wanted)[-1])
        wanted -= int(behind[span] - counts[span])
        low, high = low + span * width, min(high, low + (span + 1) * width - 1)
        if width == 1:
            return Cut(low, int(counts[span]) - wanted)


def given_newest(blocks: Iterable[Columns]) -> bool:
    """Whether given test rows are the newest: none older than a train row of its user, and some newer than all of them.

    Args:
        blocks: user, timestamp and is_test of the rows of whole users, sorted by user.

    >>> rows = {"user": np.array([0, 0, 1, 1]), "timestamp": np.array([3, 5, 9, 2])}
    >>> given_newest([{**rows, "is_test": np.array([False, True, True, False])}])
    True
    >>> given_newest([{**rows, "is_test": np.array([False, True, False, True])}])
    False
    """
    oldest, newest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    newer = False
    for block in blocks:
        if "timestamp" not in block:
            return False
        user, timestamp, is_test = block["user"], block["timestamp"], block["is_test"]
        starts = np.flatnonzero(np.diff(user, prepend=-1))
        last_train = np.maximum.reduceat(np.where(is_test, oldest, timestamp), starts)
        first_test = np.minimum.reduceat(np.where(is_test, timestamp, newest), starts)
        if (first_test < last_train).any():
            return False
        newer |= bool(((first_test > last_train) & (first_test < newest) & (last_train > oldest)).any())
    return newer


class Splitter:
    """Assigns parts block after block; the blocks of one data set give what all rows together would.

    Args:
        split: one of SPLITS.
        seed: of all random choices.
        cut: for the split ``time``, where the newest rows of the data set begin.
        newest: whether test rows are the newest, so that select and blend are of the newest train rows.
        stream: of the draws of one seed.
    """

    def __init__(self, split: str, seed: int, cut: Cut | None = None, *, newest: bool = False, stream: int = 0) -> None:
        self.split = split
        self.newest = newest
        self._test_draws = np.random.default_rng([seed, stream + _TEST_STREAM])
        self._held_draws = np.random.default_rng([seed, stream + _HELD_STREAM])
        self._cut = cut
        self._at_cut = 0  # rows at the time of the cut so far

    @classmethod
    def of_rows(cls, split: str, seed: int, blocks: Callable[[], Iterator[Columns]], num_rows: int) -> Self:
        """The splitter of a data set.

        Args:
            split, seed: as for ``assign_parts``.
            blocks: a fresh pass over user, timestamp and is_test, as far as there are any, of the rows of whole users.
            num_rows: of all blocks together.
        """
        cut, newest = None, split in NEWEST
        if split == "time":
            cut = newest_cut(lambda: (block["timestamp"] for block in blocks()), round(TEST_SHARE * num_rows))
        elif split == "given":
            newest = given_newest(blocks())
        return cls(split, seed, cut, newest=newest)

    def assign(
        self, user: np.ndarray, item: np.ndarray, *, timestamp: np.ndarray | None, is_test: np.ndarray | None
    ) -> np.ndarray:
        """The parts of the next rows, uint8; a user's rows must come in one block. Arguments as for assign_parts."""
        if self.split == "given":
            test = np.asarray(is_test, dtype=bool)
        elif self.split == "random":
            test = _random_share(user, TEST_SHARE, 2, self._test_draws)
        elif self.split == "last":
            test = _newest_each(user, np.asarray(timestamp))
        else:
            test = self._newest_overall(np.asarray(timestamp))
        parts = np.full(len(user), Part.TEST, dtype=np.uint8)
        times = timestamp[~test] if self.newest and timestamp is not None else None
        parts[~test] = _divide_train(user[~test], times, self._held_draws)
        return parts

    def _newest_overall(self, timestamp: np.ndarray) -> np.ndarray:
        if self._cut is None:
            return np.zeros(len(timestamp), dtype=bool)
        at = np.flatnonzero(timestamp == self._cut.time)
        test = timestamp > self._cut.time
        test[at[max(0, self._cut.earlier - self._at_cut) :]] = True
        self._at_cut += len(at)
        return test


def _divide_train(user: np.ndarray, times: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    """Fit, select and blend parts of the train rows; given times, the older rows of each user are fit."""
    draws = generator.random(len(user))
    place, count = _places(user, draws if times is None else times)
    held = np.where(count >= FEWEST, np.maximum(1, np.rint(HELD_SHARE * count)), 0).astype(np.int64)
    if times is not None:
        draws += place < count - 2 * held
        place, _ = _places(user, draws)
    parts = np.full(len(user), Part.FIT, dtype=np.uint8)
    parts[place < 2 * held] = Part.BLEND
    parts[place < held] = Part.SELECT
    return parts


def _random_share(user: np.ndarray, share: float, fewest: int, generator: np.random.Generator) -> np.ndarray:
    """True for a random share of each user's rows, at least one where the user has ``fewest`` rows or more."""
    place, count = _places(user, generator.random(len(user)))
    return place < np.where(count >= fewest, np.maximum(1, np.rint(share * count)), 0)


def _newest_each(user: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    place, count = _places(user, timestamp)
    return (place == count - 1) & (count >= 2)


def _places(user: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, its place from 0 among its user's rows by ``key``, and how many rows the user has.

    Of equal keys, the earlier row comes first: the one with the lower item.
    """
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    counts = np.diff(starts, append=len(user))
    by_key = np.argsort(key, kind="stable")
    # np.lexsort((key, user)), but that the second sort is one of plain numbers, several times as fast
    order = by_key[np.sort((user[by_key].astype(np.int64) << 32) + np.arange(len(user))) & 0xFFFFFFFF]
    place = np.empty(len(user), dtype=np.int64)
    place[order] = np.arange(len(user)) - np.repeat(starts, counts)
    return place, np.repeat(counts, counts)


def _impossible(split: str) -> DataError:
    if split == "given":
        return SplitError(
            "split 'given' needs test rows, and the source brings none", "name a test file, or split random"
        )
    return SplitError(f"split {split!r} needs timestamps, and the interactions have none", "split random instead")
