"""From a data set to the graph that models propagate on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numba
import numpy as np
import torch

from graphrec.data import Dataset, Interactions, Knowledge, Part
from graphrec.errors import GraphFolderError
from graphrec.graph.deferred import DeferredGraph
from graphrec.graph.hetero import INTERACTS, REVERSE, Features, HeteroGraph, assemble
from graphrec.sparse import CSR


def build_graph(dataset: Dataset, parts: Sequence[Part] = (Part.FIT,), *, knowledge: bool = True) -> HeteroGraph:
    """The propagation graph: interactions of the given parts and the knowledge, each edge beside its inverse.

    No row of another part becomes an edge. A triple that joins a node to itself tells propagation nothing; it is left
    out and counted.

    Args:
        dataset: users, items, entities, rows and triples.
        parts: whose rows may be known; fit rows alone unless a model is trained again on all training rows.
        knowledge: False leaves the triples out; the entities stay as nodes.

    Raises:
        DataError: two relations of the knowledge would have one name in the graph.
    """
    sizes = (dataset.num_users, dataset.num_items, dataset.num_entities)
    facts = dataset.knowledge if knowledge else Knowledge()
    graph = assemble(sizes, [INTERACTS, *facts.relations], facts.head, facts.tail, facts.relation + 1)
    adjacency = _with_interactions(graph, dataset.interactions, parts)
    features, times = features_of(dataset), rows_times(dataset, parts)
    return replace(graph, adjacency=adjacency, features=features, times=times)


def defer_graph(dataset: Dataset, parts: Sequence[Part] = (Part.FIT,)) -> HeteroGraph:
    """What ``build_graph`` makes, made when its edges are first asked for.

    What was used by whom (``seen``), and when (``times``), comes from the rows alone and makes no other edge.
    """
    sizes = (dataset.num_users, dataset.num_items, dataset.num_entities)
    return DeferredGraph(
        sizes,
        relations_of(dataset),
        lambda: build_graph(dataset, parts),
        lambda: rows_csr(dataset, parts),
        lambda: rows_times(dataset, parts),
        features=features_of(dataset),
    )


def features_of(dataset: Dataset) -> Features:
    """A data set's features as tensors on the same memory, or the same files."""
    return {
        kind: {name: torch.from_numpy(values) for name, values in named.items()}
        for kind, named in dataset.features.items()
    }


def relations_of(dataset: Dataset) -> tuple[str, ...]:
    """The names of a data set's graph's relations by edge type, inverses included."""
    names = (INTERACTS, *dataset.knowledge.relations)
    return tuple(name for forward in names for name in (forward, REVERSE + forward))


def rows_csr(dataset: Dataset, parts: Sequence[Part]) -> CSR:
    """The interactions of some parts as CSR [U, I], counted like the edges of a graph."""
    rows, num_users = dataset.interactions, dataset.num_users
    pairs = (rows.user, rows.item, rows.part, np.isin(np.arange(len(Part)), parts))
    degree = np.zeros(num_users + dataset.num_items, np.int64)
    _checked_count(*pairs, num_users, degree)
    rowptr = np.concatenate([[0], np.cumsum(degree[:num_users])])
    col = np.empty(rowptr[-1], np.int32)
    _list(*pairs, col)
    return CSR(torch.from_numpy(rowptr), torch.from_numpy(col), dataset.num_items)


def rows_times(dataset: Dataset, parts: Sequence[Part]) -> torch.Tensor | None:
    """When each pair of ``rows_csr`` was, int64, −1 where that is not known; None if no row has a time."""
    rows = dataset.interactions
    if rows.timestamp is None:
        return None
    pairs = (rows.user, rows.item, rows.part, np.isin(np.arange(len(Part)), parts))
    degree = np.zeros(dataset.num_users + dataset.num_items, np.int64)
    _checked_count(*pairs, dataset.num_users, degree)
    times = np.empty(degree[: dataset.num_users].sum(), np.int64)
    _list_times(*pairs, rows.timestamp, times)
    return torch.from_numpy(times)


def _with_interactions(graph: HeteroGraph, rows: Interactions, parts: Sequence[Part]) -> CSR:
    """The graph's adjacency with the interactions of some parts.

    The rows stand in the order of (user, item), so counting the edges of each node and walking through the rows once
    puts every edge in its place; nothing is sorted, and nothing of the edges' size is held beside the result.
    """
    facts = graph.adjacency
    assert facts.edge_type is not None
    wanted = np.isin(np.arange(len(Part)), parts)
    degree = np.zeros(graph.num_nodes, np.int64)
    pairs = (rows.user, rows.item, rows.part, wanted)
    _checked_count(*pairs, graph.num_users, degree[: graph.num_users + graph.num_items])
    rowptr = np.concatenate([[0], np.cumsum(degree + facts.degree.numpy())])
    col, kind = (np.empty(rowptr[-1], np.int32) for _ in range(2))
    _fill(*pairs, graph.num_users, rowptr[:-1].copy(), col, kind)
    _append(facts.rowptr.numpy(), facts.col.numpy(), facts.edge_type.numpy(), rowptr[:-1] + degree, col, kind)
    adjacency = CSR(torch.from_numpy(rowptr), torch.from_numpy(col), graph.num_nodes, torch.from_numpy(kind))
    return adjacency.known_symmetric()


def _checked_count(
    user: np.ndarray, item: np.ndarray, part: np.ndarray, wanted: np.ndarray, num_users: int, degree: np.ndarray
) -> None:
    wrong = _count(user, item, part, wanted, num_users, degree)
    if wrong >= 0:
        where = f"row {wrong} of the interactions is user {user[wrong]}, item {item[wrong]}, part {part[wrong]}"
        raise GraphFolderError(f"{where}: out of range or out of order", "build the graph folder anew")


_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def _count(user, item, part, wanted, num_users, degree):  # type: ignore[no-untyped-def]
    """Add each node's interactions to ``degree``; a pair that is given in two wanted parts is one.

    Returns the first row of these parts that is out of range, or stands before the one before it in the order of
    (user, item); else −1.
    """
    num_items = len(degree) - num_users
    last_user, last_item = -1, -1
    for row in range(len(user)):
        if part[row] >= len(wanted):
            return row
        here, there = user[row], item[row]
        if not wanted[part[row]] or (here == last_user and there == last_item):
            continue
        if not (last_user <= here < num_users and 0 <= there < num_items) or here < 0:
            return row
        if here == last_user and there < last_item:
            return row
        last_user, last_item = here, there
        degree[here] += 1
        degree[num_users + there] += 1
    return -1


@_compiled
def _fill(user, item, part, wanted, num_users, place, col, kind):  # type: ignore[no-untyped-def]
    """Write each interaction as two edges; ``place`` is where each node's next edge goes."""
    last_user, last_item = -1, -1
    for row in range(len(user)):
        if wanted[part[row]] and not (user[row] == last_user and item[row] == last_item):
            last_user, last_item = user[row], item[row]
            node = num_users + last_item
            col[place[last_user]], kind[place[last_user]] = node, 1
            col[place[node]], kind[place[node]] = last_user, 0
            place[last_user] += 1
            place[node] += 1


@_compiled
def _list(user, item, part, wanted, col):  # type: ignore[no-untyped-def]
    """Write each interaction's item, user by user."""
    last_user, last_item, place = -1, -1, 0
    for row in range(len(user)):
        if wanted[part[row]] and not (user[row] == last_user and item[row] == last_item):
            last_user, last_item = user[row], item[row]
            col[place] = last_item
            place += 1


@_compiled
def _list_times(user, item, part, wanted, timestamp, times):  # type: ignore[no-untyped-def]
    """Write each interaction's time, user by user; of a pair that is given in two parts the later one."""
    last_user, last_item, place = -1, -1, -1
    for row in range(len(user)):
        if wanted[part[row]]:
            if user[row] == last_user and item[row] == last_item:
                times[place] = max(times[place], timestamp[row])
            else:
                last_user, last_item = user[row], item[row]
                place += 1
                times[place] = timestamp[row]


@_compiled
def _append(rowptr, facts, facts_kind, place, col, kind):  # type: ignore[no-untyped-def]
    """Copy each node's edges of the knowledge behind its interactions."""
    for node in range(len(place)):
        begin, count = rowptr[node], rowptr[node + 1] - rowptr[node]
        for edge in range(count):
            col[place[node] + edge] = facts[begin + edge]
            kind[place[node] + edge] = facts_kind[begin + edge]
