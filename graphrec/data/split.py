"""Which part each interaction belongs to. Rows come sorted by (user, item), so no draw depends on the input's order."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from graphrec.errors import DataError, UsageError, nearest

SPLITS = ("given", "random", "last", "time")
TEST_SHARE = 0.2  # of the rows, for random and time
HELD_SHARE = 0.1  # of a user's train rows, for select and again for blend
FEWEST = 5  # train rows from which a user gives some to select and blend
_TEST_STREAM, _HELD_STREAM = 0, 1  # keep the draws of the two steps apart


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
        raise UsageError(f"there is no split {split!r}", hint)


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
    check_split(split)
    needed = is_test if split == "given" else timestamp if split in ("last", "time") else user
    if needed is None:
        raise _impossible(split)
    if split == "given":
        test = np.asarray(is_test, dtype=bool)
    elif split == "random":
        test = _random_share(user, TEST_SHARE, 2, np.random.default_rng([seed, _TEST_STREAM]))
    else:
        times = np.asarray(timestamp)
        test = _newest_each(user, item, times) if split == "last" else _newest_overall(user, item, times)
    parts = np.full(len(user), Part.TEST, dtype=np.uint8)
    parts[~test] = _divide_train(user[~test], np.random.default_rng([seed, _HELD_STREAM]))
    return parts


def _divide_train(user: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Fit, select and blend parts of the train rows."""
    place, count = _places(user, generator.random(len(user)))
    held = np.where(count >= FEWEST, np.maximum(1, np.rint(HELD_SHARE * count)), 0).astype(np.int64)
    parts = np.full(len(user), Part.FIT, dtype=np.uint8)
    parts[place < 2 * held] = Part.BLEND
    parts[place < held] = Part.SELECT
    return parts


def _random_share(user: np.ndarray, share: float, fewest: int, generator: np.random.Generator) -> np.ndarray:
    """True for a random share of each user's rows, at least one where the user has ``fewest`` rows or more."""
    place, count = _places(user, generator.random(len(user)))
    return place < np.where(count >= fewest, np.maximum(1, np.rint(share * count)), 0)


def _newest_each(user: np.ndarray, item: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    order = np.lexsort((item, timestamp))
    rank = np.empty(len(user), dtype=np.int64)
    rank[order] = np.arange(len(user))
    place, count = _places(user, rank)
    return (place == count - 1) & (count >= 2)


def _newest_overall(user: np.ndarray, item: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    test = np.zeros(len(user), dtype=bool)
    newest = round(TEST_SHARE * len(user))
    test[np.lexsort((item, user, timestamp))[len(user) - newest :]] = True
    return test


def _places(user: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, its place from 0 among its user's rows by ``key``, and how many rows the user has."""
    order = np.lexsort((key, user))
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    counts = np.diff(starts, append=len(user))
    place = np.empty(len(user), dtype=np.int64)
    place[order] = np.arange(len(user)) - np.repeat(starts, counts)
    count = np.empty(len(user), dtype=np.int64)
    count[order] = np.repeat(counts, counts)
    return place, count


def _impossible(split: str) -> DataError:
    if split == "given":
        return DataError(
            "split 'given' needs test rows, and the source brings none", "name a test file, or split random"
        )
    return DataError(f"split {split!r} needs timestamps, and the interactions have none", "split random instead")
