"""The compiled kernels of neighbour sampling: draw some of each node's edges, and number the nodes they lead to.

Random numbers are a hash of (seed, name, hop, group, draw), where a node's name is itself or, in a tree, its place,
since a node may come more than once there: a node's draw depends on nothing else in the batch. Each kernel is one pass
that reads the large arrays at places known beforehand, so that the processor waits for many of them at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

_GOLDEN, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")


class Edges(NamedTuple):
    """A graph's edges, as tensors or as arrays; those without entries stand for what is not wanted.

    Args:
        rowptr: int64 [N + 1]; col: int32 [E]; edge_type: int32 [E].
        order: int64 [E], the edges of each row and group of types by age, the oldest first.
        time: float64 [E], in that order.
        weight: float64 [E + 1], the weights added up over all edges before each place of that order.
    """

    rowptr: Any
    col: Any
    edge_type: Any
    order: Any
    time: Any
    weight: Any


class Removed(NamedTuple):
    """Places that must not be drawn.

    Args:
        table: int64, see ``place_in``: which list holds each node's removed places.
        begin: int64 [lists + 1], where each begins; place: int64, ascending.
    """

    table: np.ndarray
    begin: np.ndarray
    place: np.ndarray


@_compiled
def find_ranges(edges, groups, nodes, tree, limit, begin, end):  # type: ignore[no-untyped-def]
    """Where the edges begin and end that each node may draw from, int64 [n × G], for each group.

    Args:
        edges: an ``Edges``; groups: int64 [G + 1], the edge types at which each begins.
        nodes: int64 [n]; tree: int64 [n], the seed that each belongs to.
        limit: float64 [seeds], no edge of a tree is younger; without entries, any age.
    """
    num_groups = len(groups) - 1
    for place in range(len(nodes)):
        first, last = edges.rowptr[nodes[place]], edges.rowptr[nodes[place] + 1]
        kinds = edges.edge_type[first:last]
        for group in range(num_groups):
            cell = place * num_groups + group
            begin[cell], end[cell] = first, last
            if num_groups > 1:
                begin[cell] = first + np.searchsorted(kinds, groups[group])
                end[cell] = first + np.searchsorted(kinds, groups[group + 1])
            if len(limit):
                times = edges.time[begin[cell] : end[cell]]
                end[cell] = begin[cell] + np.searchsorted(times, limit[tree[place]], side="right")


@_compiled
def draw_places(  # type: ignore[no-untyped-def]
    weight, fanout, replace, seed, hop, nodes, names, removed, begin, end, rowptr, places,
):  # fmt: skip
    """Write the places of the edges drawn, node by node, and where each node's begin; returns how many there are.

    Args:
        weight: as in ``Edges``; fanout: int64 [G], −1 for all; replace: whether an edge may be drawn twice.
        seed, hop: uint64.
        nodes, names: int64 [n]; removed: a ``Removed``; begin, end: int64 [n × G], from ``find_ranges``.
        rowptr: int64 [n + 1]; places: int64, room for all.
    """
    count, num_groups = 0, len(fanout)
    rowptr[0] = 0
    for place in range(len(nodes)):
        own = removed.place[:0]
        if len(removed.place):
            which = place_in(removed.table, nodes[place], -1)
            if which >= 0:
                own = removed.place[removed.begin[which] : removed.begin[which + 1]]
        for group in range(num_groups):
            first, last = begin[place * num_groups + group], end[place * num_groups + group]
            gone = own
            if len(own):
                gone = own[np.searchsorted(own, first) : np.searchsorted(own, last)]
            stream = _stream(seed, names[place], hop, np.uint64(group))
            count = _draw(weight, first, last, gone, fanout[group], replace, stream, places, count)
        rowptr[place + 1] = count
    return count


@_compiled
def number_nodes(table, nodes, known, sender, col):  # type: ignore[no-untyped-def]
    """Write each sender's place among the nodes, adding those not met before; returns how many nodes are known then.

    Args:
        table: int64, see ``place_in``, empty and at least twice as long as there can be nodes.
        nodes: int64, the first ``known`` of them filled, with room for all.
        sender: int32 [m]; col: int32 [m].
    """
    for place in range(known):
        place_in(table, nodes[place], place)
    for edge in range(len(sender)):
        at = place_in(table, np.int64(sender[edge]), known)
        if at == known:
            nodes[known] = sender[edge]
            known += 1
        col[edge] = at
    return known


@_inlined
def place_in(table, node, place):  # type: ignore[no-untyped-def]
    """The number kept for a node < 2³¹; where there is none, ``place``, which is then kept unless it is −1.

    The table is a hash table with a power of two entries, node · 2³² + number each, −1 for none.
    """
    mask = len(table) - 1
    at = np.int64(_mixed(np.uint64(node))) & mask
    found = place
    while True:
        entry = table[at]
        if entry < 0:
            if place >= 0:
                table[at] = (node << 32) | place
            break
        if entry >> 32 == node:
            found = entry & 0xFFFFFFFF
            break
        at = (at + 1) & mask
    return found


@_compiled
def _draw(weight, begin, end, removed, fanout, replace, stream, places, count):  # type: ignore[no-untyped-def]
    """Write the places of one node's and group's drawn edges from ``places[count]`` on; returns where they end."""
    left = end - begin - len(removed)
    if left <= 0 or fanout == 0:
        return count
    if fanout < 0 or (not replace and left <= fanout):
        for rank in range(left):
            place = _at(begin, rank, removed)
            if fanout < 0 or len(weight) == 0 or weight[place + 1] > weight[place]:
                places[count] = place
                count += 1
        return count
    if len(weight):
        return _draw_weighted(weight, begin, end, removed, fanout, replace, stream, places, count)
    for drawn in range(fanout):
        stream += _GOLDEN
        if replace:
            rank = _below(stream, left)
        else:  # Floyd's algorithm: every set of that size is equally likely
            most = left - fanout + drawn
            rank = _below(stream, most + 1)
            if _among(places, count, count + drawn, _at(begin, rank, removed)):
                rank = most
        places[count + drawn] = _at(begin, rank, removed)
    return count + fanout


@_compiled
def _draw_weighted(weight, begin, end, removed, fanout, replace, stream, places, count):  # type: ignore[no-untyped-def]
    """Draw by weight, anew where an edge is removed or drawn already; fewer where the rest weigh next to nothing."""
    total, drawn = weight[end] - weight[begin], 0
    for _ in range(fanout * 16):
        if drawn == fanout or total <= 0:
            break
        stream += _GOLDEN
        share = (_mixed(stream) >> np.uint64(11)) * (1.0 / (1 << 53))
        place = begin + np.searchsorted(weight[begin + 1 : end], weight[begin] + share * total, side="right")
        weighs = weight[place + 1] > weight[place]  # rounding may lead to an edge without weight
        fresh = weighs and (replace or not _among(places, count, count + drawn, place))
        if fresh and not _among(removed, 0, len(removed), place):
            places[count + drawn] = place
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
def _stream(seed, name, hop, group):  # type: ignore[no-untyped-def]
    return _mixed(_mixed(seed ^ (np.uint64(name) * _FIRST)) + (hop << np.uint64(32)) + group)


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
