"""The compiled part of neighbour sampling: draws some of each node's edges, and numbers the nodes it meets.

Random numbers are a hash of (seed, node, hop, group, draw): a node's draw depends on nothing else in the batch. Nodes
of a tree have their place for that, since a node may come more than once.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

_GOLDEN, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")


class Edges(NamedTuple):
    """A graph's edges as the kernels take them; arrays without entries stand for what is not wanted.

    Args:
        rowptr: int64 [N + 1]; col: int32 [E]; edge_type: int32 [E].
        order: int64 [E], the edges of each row and group of types by age, the oldest first.
        time: float64 [E], in that order.
        weight: float64 [E + 1], the weights added up over all edges before each place of that order.
    """

    rowptr: np.ndarray
    col: np.ndarray
    edge_type: np.ndarray
    order: np.ndarray
    time: np.ndarray
    weight: np.ndarray


class Removed(NamedTuple):
    """Places that must not be drawn.

    Args:
        list_of: int32 [N], which list holds each node's removed places, −1 for none.
        begin: int64 [lists + 1], where each begins; place: int64, ascending within a list.
    """

    list_of: np.ndarray
    begin: np.ndarray
    place: np.ndarray


class Found(NamedTuple):
    """Where a sample is written.

    Args:
        nodes: int64, the nodes met so far, each once (or once a tree).
        tree: int64, as long as ``nodes``, the seed that each belongs to; every edge then leads to a node of its own.
            Without entries nodes are shared.
        slot: int32 [N], each shared node's place in ``nodes``, −1 for one not met.
    """

    nodes: np.ndarray
    tree: np.ndarray
    slot: np.ndarray


@_compiled
def draw_hop(  # type: ignore[no-untyped-def]
    edges, groups, fanout, replace, seed, hop, until, removed, found, num_nodes, rowptr, col, number,
):  # fmt: skip
    """Draw edges for all nodes known; returns how many nodes are known then.

    Args:
        edges: an ``Edges``.
        groups: int64 [G + 1], the edge types at which each group begins; fanout: int64 [G], −1 for all.
        replace: whether an edge may be drawn twice.
        seed: uint64; hop: uint64.
        until: float64 [seeds], no edge of a tree is younger; without entries, any age.
        removed: a ``Removed``.
        found: a ``Found``; num_nodes: how many it holds.
        rowptr: int64 [num_nodes + 1]; col: int32, places of the senders; number: int64, edges.
    """
    count, known = 0, num_nodes
    rowptr[0] = 0
    for place in range(num_nodes):
        node = found.nodes[place]
        own = removed.place[:0]
        if len(removed.place) and removed.list_of[node] >= 0:
            own = removed.place[removed.begin[removed.list_of[node]] : removed.begin[removed.list_of[node] + 1]]
        for group in range(len(fanout)):
            begin, end = _range_of(edges, groups, group, node)
            if len(until):
                end = _older(edges.time, begin, end, until[found.tree[place]])
            gone = own[np.searchsorted(own, begin) : np.searchsorted(own, end)]
            stream = _stream(seed, place if len(found.tree) else node, hop, np.uint64(group))
            start = count
            count = _draw(edges, begin, end, gone, fanout[group], replace, stream, number, count)
            for drawn in range(start, count):
                edge = number[drawn]
                if len(edges.order):
                    edge = edges.order[edge]
                    number[drawn] = edge
                sender = edges.col[edge]
                at = np.int32(-1) if len(found.tree) else found.slot[sender]
                if at < 0:
                    at = np.int32(known)
                    found.nodes[known] = sender
                    if len(found.tree):
                        found.tree[known] = found.tree[place]
                    else:
                        found.slot[sender] = at
                    known += 1
                col[drawn] = at
        rowptr[place + 1] = count
    return known


@_inlined
def _range_of(edges, groups, group, node):  # type: ignore[no-untyped-def]
    """The places of a node's edges whose types belong to a group."""
    begin, end = edges.rowptr[node], edges.rowptr[node + 1]
    if len(groups) > 2:
        kinds = edges.edge_type[begin:end]
        end = begin + np.searchsorted(kinds, groups[group + 1])
        begin = begin + np.searchsorted(kinds, groups[group])
    return begin, end


@_compiled
def _older(time, begin, end, limit):  # type: ignore[no-untyped-def]
    """Where edges younger than ``limit`` begin."""
    return begin + np.searchsorted(time[begin:end], limit, side="right")


@_compiled
def _draw(edges, begin, end, removed, fanout, replace, stream, number, count):  # type: ignore[no-untyped-def]
    """Write the places of the drawn edges from ``number[count]`` on; returns where they end."""
    left = end - begin - len(removed)
    if left <= 0 or fanout == 0:
        return count
    if fanout < 0 or (not replace and left <= fanout):
        for rank in range(left):
            place = _at(begin, rank, removed)
            if fanout < 0 or len(edges.weight) == 0 or edges.weight[place + 1] > edges.weight[place]:
                number[count] = place
                count += 1
        return count
    if len(edges.weight):
        return _draw_weighted(edges.weight, begin, end, removed, fanout, replace, stream, number, count)
    for drawn in range(fanout):
        stream += _GOLDEN
        if replace:
            rank = _below(stream, left)
        else:  # Floyd's algorithm: every set of that size is equally likely
            most = left - fanout + drawn
            rank = _below(stream, most + 1)
            if _among(number, count, count + drawn, _at(begin, rank, removed)):
                rank = most
        number[count + drawn] = _at(begin, rank, removed)
    return count + fanout


@_compiled
def _draw_weighted(weight, begin, end, removed, fanout, replace, stream, number, count):  # type: ignore[no-untyped-def]
    """Draw by weight, anew where an edge is removed or drawn already; fewer where the rest weigh next to nothing."""
    total, drawn = weight[end] - weight[begin], 0
    for _ in range(fanout * 16):
        if drawn == fanout or total <= 0:
            break
        stream += _GOLDEN
        share = (_mixed(stream) >> np.uint64(11)) * (1.0 / (1 << 53))
        place = begin + np.searchsorted(weight[begin + 1 : end], weight[begin] + share * total, side="right")
        fresh = replace or not _among(number, count, count + drawn, place)
        if fresh and not _among(removed, 0, len(removed), place):
            number[count + drawn] = place
            drawn += 1
    return count + drawn


@_inlined
def _at(begin, rank, removed):  # type: ignore[no-untyped-def]
    """The place of the rank-th edge that is not removed."""
    place = begin + rank
    for gone in removed:
        if gone <= place:
            place += 1
    return place


@_inlined
def _among(numbers, begin, end, wanted):  # type: ignore[no-untyped-def]
    there = False
    for place in range(begin, end):
        there |= numbers[place] == wanted
    return there


@_inlined
def _below(stream, limit):  # type: ignore[no-untyped-def]
    """A number in [0, limit), limit < 2³²."""
    return np.int64((_mixed(stream) >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32))


@_inlined
def _stream(seed, node, hop, group):  # type: ignore[no-untyped-def]
    return _mixed(_mixed(seed ^ (np.uint64(node) * _FIRST)) + (hop << np.uint64(32)) + group)


@_inlined
def _mixed(number):  # type: ignore[no-untyped-def]
    """A bijection of 64-bit numbers, each bit depending on all (Steele et al. 2014, splitmix64)."""
    number = (number ^ (number >> np.uint64(30))) * _FIRST
    number = (number ^ (number >> np.uint64(27))) * _SECOND
    return number ^ (number >> np.uint64(31))


@_compiled
def edges_between(edges, row, col, write, found):  # type: ignore[no-untyped-def]
    """The number of edges row ← col over all pairs, of every type; with ``write`` their numbers go to ``found`` too."""
    count = 0
    for pair in range(len(row)):
        place, stop = edges.rowptr[row[pair]], edges.rowptr[row[pair] + 1]
        while place < stop:
            kinds = edges.edge_type[place:stop]
            end = place + np.searchsorted(kinds, kinds[0], side="right")
            begin = place + np.searchsorted(edges.col[place:end], col[pair])
            while begin < end and edges.col[begin] == col[pair]:
                if write:
                    found[count] = begin
                count += 1
                begin += 1
            place = end
    return count
