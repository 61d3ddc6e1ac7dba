"""Text files of whole numbers, parsed without a loop over tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from graphrec.errors import BadRowError, DataError

DIGIT, BLANK, NEWLINE, OTHER = range(4)
LONGEST = 18  # digits that always fit int64

_CLASS = np.full(256, OTHER, dtype=np.uint8)
_CLASS[list(b"0123456789")] = DIGIT
_CLASS[list(b" \t\r")] = BLANK
_CLASS[ord("\n")] = NEWLINE


@dataclass(frozen=True)
class Tokens:
    """All numbers of a file in reading order.

    Args:
        value: int64.
        line: int64, the line each one stands on, from 0.
    """

    path: Path
    value: np.ndarray
    line: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """bool, True where a number is the first of its line."""
        return np.diff(self.line, prepend=-1) != 0


def read_tokens(path: Path) -> Tokens:
    """Read whole numbers ≥ 0 parted by blanks, tabs and line ends.

    Raises:
        DataError: anything else in the file, with its line.
    """
    content = np.fromfile(path, dtype=np.uint8)
    content = content[3:] if content[:3].tobytes() == b"\xef\xbb\xbf" else content
    kind = _CLASS[content]
    newlines = np.flatnonzero(kind == NEWLINE)
    strange = np.flatnonzero(kind == OTHER)
    if len(strange):
        raise _not_whole(path, content, newlines, int(strange[0]))
    flips = np.flatnonzero(np.diff(kind == DIGIT, prepend=False, append=False))
    start, end = flips[0::2], flips[1::2]
    length = end - start
    if len(length) and length.max() > LONGEST:
        raise _not_whole(path, content, newlines, int(start[np.argmax(length)]))
    value = np.zeros(len(start), dtype=np.int64)
    for place in range(int(length.max(initial=0))):
        has = length > place
        value[has] += (content[end[has] - 1 - place] - ord("0")).astype(np.int64) * 10**place
    return Tokens(path, value, np.searchsorted(newlines, start))


def read_lists(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines ``user item item …`` as (user of each pair, item of each pair, all users, also those without items)."""
    tokens = read_tokens(path)
    first = tokens.first
    listed = tokens.value[first]
    user = listed[np.cumsum(first) - 1]
    return user[~first], tokens.value[~first], listed


def read_columns(path: Path, count: int) -> np.ndarray:
    """Lines of exactly ``count`` numbers, as an int64 array with one row a line."""
    tokens = read_tokens(path)
    starts = np.flatnonzero(tokens.first)
    lengths = np.diff(starts, append=len(tokens.value))
    wrong = np.flatnonzero(lengths != count)
    if len(wrong):
        line = int(tokens.line[starts[wrong[0]]]) + 1
        raise BadRowError(f"{path}, line {line}: {lengths[wrong[0]]} numbers where {count} were expected")
    return tokens.value.reshape(-1, count)


def distinct(value: np.ndarray) -> np.ndarray:
    """The distinct values, sorted; integers ≥ 0.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    present = _present(value)
    return np.unique(value) if present is None else np.flatnonzero(present)


def encode(value: np.ndarray) -> pa.DictionaryArray:
    """Integers ≥ 0 as a dictionary-encoded column of their decimals, the dictionary in numeric order.

    >>> encode(np.array([10, 9, 10])).dictionary.to_pylist()
    ['9', '10']
    """
    present = _present(value)
    if present is None:
        values, codes = np.unique(value, return_inverse=True)
    else:
        values, codes = np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - 1)[value]
    names = pa.array(values.astype(np.int64)).cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)


def _present(value: np.ndarray) -> np.ndarray | None:
    """bool by value, True where it occurs; None where the values are so large that sorting is cheaper."""
    top = int(value.max(initial=-1)) + 1
    if top > 4 * value.size + 1024:
        return None
    present = np.zeros(top, dtype=bool)
    present[value] = True
    return present


def _not_whole(path: Path, content: np.ndarray, newlines: np.ndarray, place: int) -> DataError:
    """The error for the token at ``place``."""
    before = int(np.searchsorted(newlines, place))
    begin = int(newlines[before - 1]) + 1 if before else 0
    stop = int(newlines[before]) if before < len(newlines) else len(content)
    head = content[begin:place].tobytes().replace(b"\t", b" ").rpartition(b" ")[2]
    tail = content[place:stop].tobytes().split()[:1]
    token = (head + (tail[0] if tail else b"")).decode("utf-8", "replace")[:40]
    return BadRowError(f"{path}, line {before + 1}: {token!r} is not a whole number of at most {LONGEST} digits")
