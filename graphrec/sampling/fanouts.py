"""How many edges a sampler draws of a node, for each hop and kind of edge.

K hops, G groups of edge types that share a fan-out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphrec.errors import SettingError, UnknownNameError, nearest
from graphrec.graph.hetero import INTERACTS

ALL = -1  # a fan-out that takes every edge
KNOWLEDGE = "knowledge"

Fanout = Sequence[int] | Mapping[str, Sequence[int]]


def groups_of(relations: Sequence[str], fanout: Fanout) -> tuple[np.ndarray, np.ndarray]:
    """The edge types at which each group begins, [G + 1], and each hop's fan-outs, [K, G].

    Raises:
        UsageError: a fan-out that names no kind of edge, is empty or negative, or not of one length for all kinds.

    >>> groups_of(("interacts", "rev_interacts", "genre", "rev_genre"), {"interacts": [10, 5], "genre": [2, 0]})
    (array([0, 2, 4]), array([[10,  2],
           [ 5,  0]]))
    """
    if not isinstance(fanout, Mapping):
        return np.array([0, len(relations)]), _counts([fanout])
    known = [INTERACTS, KNOWLEDGE, *relations[2::2]]
    for name in fanout:
        if name not in known:
            hint = nearest(name, known) or f"there are {', '.join(known)}"
            raise UnknownNameError(f"fan-out {name!r} names no kind of edge", hint)
    if KNOWLEDGE in fanout and len(fanout.keys() - {INTERACTS, KNOWLEDGE}):
        raise SettingError("a fan-out names either knowledge or single relations of it")
    if not fanout:
        raise SettingError("a fan-out needs at least one kind of edge")
    layers = len(next(iter(fanout.values())))
    starts, counts = [0], [fanout.get(INTERACTS, [0] * layers)]
    if KNOWLEDGE in fanout:
        starts.append(2)
        counts.append(fanout[KNOWLEDGE])
    else:
        starts += range(2, len(relations), 2)
        counts += [fanout.get(name, [0] * layers) for name in relations[2::2]]
    return np.array([*starts, len(relations)]), _counts(counts)


def _counts(columns: Sequence[Sequence[int]]) -> np.ndarray:
    """Fan-outs of each kind as [K, G]."""
    if len({len(column) for column in columns}) != 1 or not columns[0]:
        raise SettingError("a fan-out needs one number for each hop, as many for every kind of edge")
    counts = np.array(columns, np.int64).T
    if counts.min() < ALL:
        raise SettingError(f"a fan-out must be >= 0, or {ALL} for all edges, got {counts.min()}")
    return np.ascontiguousarray(counts)
