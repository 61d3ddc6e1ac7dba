"""Lists for many users, streamed to a file a block of users at a time, and resumed where they were left."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from graphrec.data import Dataset
from graphrec.errors import SettingError
from graphrec.ranking import Ranking
from graphrec.recommender.parts import Parts
from graphrec.recommender.ranker import Ranker

BLOCK_USERS = 2**14
BLOCK_ROWS = 2**22
SCHEMA = pa.schema(
    [("user_id", pa.large_string()), ("item_id", pa.large_string()), ("score", pa.float32()), ("rank", pa.int32())]
)


@dataclass(frozen=True)
class Advance:
    """How far a file of lists is.

    Args:
        done, total: users.
        found: of those done, how many an earlier call has left.
        restarted: whether parts of a call for something else were thrown away.
        seconds: since the start of this call.
    """

    done: int
    total: int
    found: int
    restarted: bool
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before there is one."""
        fresh = self.done - self.found
        return self.seconds / fresh * (self.total - self.done) if fresh else None


@dataclass(frozen=True)
class Written:
    """What a file of lists holds.

    Args:
        rows: recommendations.
        lists: users with at least one.
        short: of these, how many have fewer than k.
        escaped: ids that stand behind an apostrophe in a CSV file, see ``write_csv``.
    """

    rows: int
    lists: int
    short: int
    escaped: int = 0


def write_lists(
    ranker: Ranker,
    path: Path,
    users: np.ndarray,
    k: int,
    filter_seen: bool,
    allowed: Tensor | None,
    on_block: Callable[[Advance], None],
) -> Written:
    """See ``Recommender.recommend_to``; ``users`` are numbers, int32 [n], and ``allowed`` is bool [I] or None."""
    if k < 1:
        raise SettingError(f"k must be >= 1, got {k}")
    dataset = ranker.run.dataset
    size = max(1, min(BLOCK_USERS, BLOCK_ROWS // max(1, min(k, dataset.num_items))))
    asked = {"run": ranker.digest(), "users": _digest(users), "k": k, "filter_seen": filter_seen, "block": size}
    asked["allowed"] = None if allowed is None else _digest(allowed.cpu().numpy())
    parts = Parts(path, asked, -(-len(users) // size))
    progress = _Progress(parts, size, len(users), on_block)
    for number in sorted(set(range(parts.count)) - set(parts.found)):
        block = users[number * size : (number + 1) * size]
        parts.write(number, _table(ranker.rank(block, k, filter_seen, allowed), block, dataset))
        progress.advance(len(block))
    written = _count(parts, k)
    return replace(written, escaped=parts.join(SCHEMA))


class _Progress:
    def __init__(self, parts: Parts, size: int, total: int, on_block: Callable[[Advance], None]) -> None:
        self.start = time.perf_counter()
        self.found = self.done = sum(min(size, total - number * size) for number in parts.found)
        self.total, self.restarted, self.on_block = total, parts.restarted, on_block
        self.advance(0)

    def advance(self, users: int) -> None:
        self.done += users
        seconds = time.perf_counter() - self.start
        self.on_block(Advance(self.done, self.total, self.found, self.restarted, seconds))


def _table(ranking: Ranking, users: np.ndarray, dataset: Dataset) -> pa.Table:
    """The lists of a block; places that could not be filled (−1) are left out."""
    items = ranking.items.cpu().numpy()
    filled = items >= 0
    row, place = np.nonzero(filled)
    columns: list[Any] = [
        dataset.users.array.take(pa.array(users[row])),
        dataset.items.array.take(pa.array(items[filled])),
        pa.array(ranking.scores.cpu().numpy()[filled]),
        pa.array((place + 1).astype(np.int32)),
    ]
    return pa.table(columns, schema=SCHEMA)


def _count(parts: Parts, k: int) -> Written:
    rows = lists = full = 0
    for part in parts:
        rank = part["rank"].to_numpy()
        rows, lists, full = rows + len(rank), lists + int((rank == 1).sum()), full + int((rank == k).sum())
    return Written(rows, lists, lists - full)


def _digest(numbers: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()
