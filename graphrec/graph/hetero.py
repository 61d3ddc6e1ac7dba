"""The heterogeneous graph: users, items and entities in one id space, every edge beside its inverse.

N nodes, E directed edges, R edge types.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import GraphError, UnknownNameError, nearest
from graphrec.sparse import CSR

KINDS = ("user", "item", "entity")
INTERACTS = "interacts"
REVERSE = "rev_"
Features = dict[str, dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class HeteroGraph:
    """Users [0, U), items [U, U + I) and entities [U + I, N), joined by typed edges.

    Attributes:
        num_users, num_items, num_entities: nodes of each kind.
        adjacency: CSR [N, N] with edge types; a row receives from its columns.
        relations: R names by edge type. 0 is ``interacts`` (row item ← column user) and 1 its inverse; the r-th
            relation of the knowledge is 2 + 2r (row tail ← column head) and its inverse, ``rev_`` and the name, 3 + 2r.
        features: tensors by kind of node and modality, one row a node; of floats, a row that is not known is NaN.
        dropped_self_loops: knowledge triples left out because they join a node to itself.
        times: when each pair of ``seen`` was, int64 in its order, −1 where that is not known; None if nothing is known.
            A time is a timestamp or a place in the user's order; only times of one user can be compared.

    Raises:
        DataError: sizes, relations, features or times do not fit together, or an edge stands without its inverse.
    """

    num_users: int
    num_items: int
    num_entities: int
    adjacency: CSR
    relations: tuple[str, ...]
    features: Features = field(default_factory=dict)
    dropped_self_loops: int = 0
    times: Tensor | None = None

    def __post_init__(self) -> None:
        check_relations(self.relations)
        shape = (self.adjacency.num_rows, self.adjacency.num_cols)
        if shape != (self.num_nodes, self.num_nodes):
            raise GraphError(f"the adjacency of {self.num_nodes} nodes cannot have shape {shape}")
        types = self.adjacency.edge_type
        if types is None or (len(types) and not 0 <= int(types.min()) <= int(types.max()) < self.num_relations):
            raise GraphError(f"every edge needs a type in [0, {self.num_relations})")
        if not self.adjacency.symmetric:
            raise GraphError("every edge must stand beside its inverse", "make the graph with build_graph or from_pyg")
        for kind, named in self.features.items():
            for tensor in named.values():
                if kind not in KINDS or len(tensor) != self.count(kind):
                    raise GraphError(f"features of {kind!r} with {len(tensor)} rows fit no kind of node in {self}")
        if self.times is not None:
            _check_times(self.times, int((types == 1).sum()))

    def __repr__(self) -> str:
        return (
            f"HeteroGraph(users={self.num_users}, items={self.num_items}, entities={self.num_entities}, "
            f"edges={self.adjacency.num_edges}, relations={self.num_relations})"
        )

    @property
    def num_nodes(self) -> int:
        return self.num_users + self.num_items + self.num_entities

    @property
    def num_relations(self) -> int:
        """R, inverses included."""
        return len(self.relations)

    @property
    def device(self) -> torch.device:
        return self.adjacency.device

    @property
    def user_slice(self) -> slice:
        return slice(0, self.num_users)

    @property
    def item_slice(self) -> slice:
        return slice(self.num_users, self.num_users + self.num_items)

    @property
    def entity_slice(self) -> slice:
        return slice(self.num_users + self.num_items, self.num_nodes)

    def count(self, kind: str) -> int:
        """Nodes of one kind: ``user``, ``item`` or ``entity``."""
        return {"user": self.num_users, "item": self.num_items, "entity": self.num_entities}[kind]

    def first(self, kind: str) -> int:
        """Number of the first node of one kind."""
        return {"user": 0, "item": self.num_users, "entity": self.num_users + self.num_items}[kind]

    @cached_property
    def seen(self) -> CSR:
        """The interactions of the graph as CSR [U, I], computed once."""
        used = self.adjacency
        stop = int(used.rowptr[self.num_users])
        assert used.edge_type is not None
        is_interaction = used.edge_type[:stop] == 1
        if bool(is_interaction.all()):
            return CSR(used.rowptr[: self.num_users + 1], used.col[:stop] - self.num_users, self.num_items)
        before = torch.nn.functional.pad(is_interaction.cumsum(0), (1, 0))
        rowptr = before[used.rowptr[: self.num_users + 1]]
        return CSR(rowptr, used.col[:stop][is_interaction] - self.num_users, self.num_items)

    def digest(self) -> str:
        """A checksum of nodes, relations, edges and times: graphs that differ in it are not the same."""
        total = zlib.crc32(repr((self.num_users, self.num_items, self.num_entities, self.relations)).encode())
        for tensor in (self.adjacency.rowptr, self.adjacency.col, self.adjacency.edge_type, self.times):
            if tensor is not None:
                total = zlib.crc32(tensor.cpu().contiguous().numpy().data, total)
        return f"{total:08x}"

    def interactions_only(self) -> HeteroGraph:
        """Users and items with the edges of the first two types alone, no entities; itself if that is all it has."""
        if self.num_relations == 2 and self.num_entities == 0:
            return self
        assert self.adjacency.edge_type is not None
        kept = self.adjacency.without_edges(self.adjacency.edge_type >= 2)
        size = self.num_users + self.num_items
        adjacency = CSR(kept.rowptr[: size + 1], kept.col, size, kept.edge_type).known_symmetric()
        features = {kind: named for kind, named in self.features.items() if kind != "entity"}
        return HeteroGraph(self.num_users, self.num_items, 0, adjacency, self.relations[:2], features, times=self.times)

    def prune_knowledge(self, hub_facts: int = 0, relations: Sequence[str] = ()) -> HeteroGraph:
        """The graph without some of its knowledge, all nodes and relations keeping their numbers.

        Args:
            hub_facts: entities with more facts than that lose them all, since a fact that many share says little; 0
                keeps all of them.
            relations: names of relations, without ``rev_``, whose facts go.

        Raises:
            UsageError: the graph has no such relation.
        """
        known = self.relations[2::2]
        for name in relations:
            if name not in known:
                raise UnknownNameError(f"the graph has no relation {name!r} to leave out", nearest(name, known))
        kind = self.adjacency.edge_type
        assert kind is not None
        is_fact = kind >= 2
        gone = torch.zeros_like(is_fact)
        for name in relations:
            gone |= kind // 2 == self.relations.index(name) // 2
        if hub_facts > 0:
            row, col = self.adjacency.row_index(), self.adjacency.col.long()
            hub = torch.bincount(row[is_fact & ~gone], minlength=self.num_nodes) > hub_facts
            hub[: self.num_users + self.num_items] = False
            gone |= is_fact & (hub[row] | hub[col])
        return replace(self, adjacency=self.adjacency.without_edges(gone).known_symmetric())

    def without_edges(self, row: Tensor, col: Tensor) -> HeteroGraph:
        """The graph without any edge between the given pairs of nodes, in either direction and of every type.

        Args:
            row, col: int64 [n], node numbers; pairs that no edge joins change nothing.
        """
        row, col = row.to(self.device).long(), col.to(self.device).long()
        pairs = torch.cat([row * self.num_nodes + col, col * self.num_nodes + row])
        keys = self.adjacency.row_index() * self.num_nodes + self.adjacency.col
        adjacency = self.adjacency.without_edges(torch.isin(keys, pairs)).known_symmetric()
        times = self.times
        if times is not None:
            used = self.seen.row_index() * self.num_nodes + self.seen.col + self.num_users
            times = times[~torch.isin(used, pairs)]
        return replace(self, adjacency=adjacency, times=times)

    def to(self, device: torch.device | str) -> HeteroGraph:
        """The graph on another device; itself if it is there."""
        if torch.device(device) == self.device:
            return self
        features = moved(self.features, device)
        times = None if self.times is None else self.times.to(device)
        return replace(self, adjacency=self.adjacency.to(device), features=features, times=times)


def _check_times(times: Tensor, num_pairs: int) -> None:
    if times.dtype != torch.int64 or times.shape != (num_pairs,):
        raise GraphError(f"times must be int64 [{num_pairs}], got {times.dtype} {list(times.shape)}")


def moved(features: Features, device: torch.device | str) -> Features:
    """Features on another device."""
    return {kind: {name: tensor.to(device) for name, tensor in named.items()} for kind, named in features.items()}


def assemble(
    sizes: tuple[int, int, int],
    names: Sequence[str],
    source: np.ndarray,
    target: np.ndarray,
    relation: np.ndarray,
    features: Features | None = None,
) -> HeteroGraph:
    """A graph from one direction of its edges: repeated ones become one, self-loops go, inverses are added.

    Args:
        sizes: number of users, items, entities.
        names: of the relations, the first of them ``interacts``; no inverses.
        source, target, relation: integers [n]: node, node, position in ``names``.
        features: as in ``HeteroGraph``.

    >>> import numpy as np
    >>> graph = assemble((1, 2, 0), ["interacts"], np.array([0, 0]), np.array([2, 2]), np.array([0, 0]))
    >>> graph.relations, graph.seen.col
    (('interacts', 'rev_interacts'), tensor([1], dtype=torch.int32))
    """
    source, target, relation = _distinct(sum(sizes), len(names), source, target, relation)
    loop = source == target
    if loop.any():
        source, target, relation = source[~loop], target[~loop], relation[~loop]
    adjacency = CSR.from_pairs(
        np.concatenate([target, source]),
        np.concatenate([source, target]),
        sum(sizes),
        sum(sizes),
        edge_type=np.concatenate([2 * relation, 2 * relation + 1]),
    ).known_symmetric()
    relations = tuple(name for forward in names for name in (forward, REVERSE + forward))
    return HeteroGraph(*sizes, adjacency, relations, features or {}, int(loop.sum()))


def _distinct(
    num_nodes: int, num_names: int, source: np.ndarray, target: np.ndarray, relation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop repeated edges; those already in strictly rising order of (relation, source, target) stay as they are."""
    if num_nodes * num_nodes * max(num_names, 1) >= 2**63:
        raise GraphError(f"{num_nodes} nodes with {num_names} relations are too many to number their pairs")
    key = (relation.astype(np.int64) * num_nodes + source) * num_nodes + target
    if (np.diff(key) > 0).all():
        return source, target, relation
    chosen = np.unique(key, return_index=True)[1]
    return source[chosen], target[chosen], relation[chosen]


def check_relations(relations: tuple[str, ...]) -> None:
    """Raise a DataError unless ``interacts`` comes first, each relation's inverse after it, and no name twice."""
    paired = all(relations[i + 1 : i + 2] == (REVERSE + relations[i],) for i in range(0, len(relations), 2))
    if relations[:1] != (INTERACTS,) or not paired:
        raise GraphError(f"relations must be 'interacts' and others, each followed by its inverse, got {relations}")
    repeated = [name for name, count in Counter(relations).items() if count > 1]
    if repeated:
        raise GraphError(f"relations must have names of their own, got twice: {', '.join(repeated)}", "rename them")
