"""A graph whose sizes and relations are known, and whose edges are put together when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from graphrec.graph.hetero import Features, HeteroGraph, check_relations, moved
from graphrec.sparse import CSR


class DeferredGraph(HeteroGraph):
    """A ``HeteroGraph`` that is made on first use; the graph that is made is checked like any other.

    Args:
        sizes: number of users, items, entities.
        relations: names by edge type, inverses included.
        make: the graph, of these sizes and relations.
        make_seen: its interactions, CSR [U, I], where they are had without it.
        make_times: their times, where they are had without it.
        features: its features, where they are had without it.
        device: where the graph is to be.

    Raises:
        DataError: the relations do not fit together.

    >>> import numpy as np; from graphrec.graph.hetero import assemble
    >>> one = np.array([0])
    >>> make = lambda: assemble((1, 1, 0), ["interacts"], one, one + 1, one)
    >>> graph = DeferredGraph((1, 1, 0), ("interacts", "rev_interacts"), make)
    >>> graph
    DeferredGraph(users=1, items=1, entities=0, relations=2)
    >>> graph.adjacency.col
    tensor([1, 0], dtype=torch.int32)
    """

    def __init__(
        self,
        sizes: tuple[int, int, int],
        relations: tuple[str, ...],
        make: Callable[[], HeteroGraph],
        make_seen: Callable[[], CSR] | None = None,
        make_times: Callable[[], Tensor | None] | None = None,
        device: torch.device | str = "cpu",
        features: Features | None = None,
    ) -> None:
        check_relations(relations)
        names = ("num_users", "num_items", "num_entities")
        self.__dict__.update(zip(names, sizes, strict=True), relations=relations)
        self.__dict__.update(_make=make, _make_seen=make_seen, _make_times=make_times, _device=torch.device(device))
        self.__dict__.update(_features=features)

    def __repr__(self) -> str:
        return (
            f"DeferredGraph(users={self.num_users}, items={self.num_items}, entities={self.num_entities}, "
            f"relations={self.num_relations})"
        )

    @cached_property
    def made(self) -> HeteroGraph:
        """The graph itself."""
        graph: HeteroGraph = self.__dict__["_make"]().to(self.device)
        assert (graph.num_nodes, graph.relations) == (self.num_nodes, self.relations)
        return graph

    @property
    def is_made(self) -> bool:
        """Whether anything has asked for the edges."""
        return "made" in self.__dict__

    @property
    def adjacency(self) -> CSR:
        return self.made.adjacency

    @cached_property
    def features(self) -> Features:
        """The features of the graph, without its edges where that can be."""
        found: Features | None = self.__dict__["_features"]
        return self.made.features if found is None else moved(found, self.device)

    @property
    def dropped_self_loops(self) -> int:
        return self.made.dropped_self_loops

    @property
    def device(self) -> torch.device:
        found: torch.device = self.__dict__["_device"]
        return found

    @cached_property
    def seen(self) -> CSR:
        """The interactions of the graph as CSR [U, I], computed once, without its other edges where that can be."""
        make_seen = self.__dict__["_make_seen"]
        found: CSR = self.made.seen if self.is_made or make_seen is None else make_seen().to(self.device)
        return found

    @cached_property
    def times(self) -> Tensor | None:
        """When each pair of ``seen`` was, computed once, without the edges where that can be."""
        make_times = self.__dict__["_make_times"]
        found: Tensor | None = self.made.times if self.is_made or make_times is None else make_times()
        return None if found is None else found.to(self.device)

    def interactions_only(self) -> HeteroGraph:
        if self.num_relations == 2 and self.num_entities == 0:
            return self
        sizes = (self.num_users, self.num_items, 0)
        return DeferredGraph(
            sizes,
            self.relations[:2],
            lambda: self.made.interactions_only(),
            lambda: self.seen,
            lambda: self.times,
            self.device,
            self._known_features(),
        )

    def _known_features(self) -> Features | None:
        """The features of users and items, None where they are had with the edges alone."""
        found: Features | None = self.__dict__["_features"]
        return None if found is None else {kind: named for kind, named in found.items() if kind != "entity"}

    def prune_knowledge(self, hub_facts: int = 0, relations: Sequence[str] = ()) -> HeteroGraph:
        sizes = (self.num_users, self.num_items, self.num_entities)
        return DeferredGraph(
            sizes,
            self.relations,
            lambda: self.made.prune_knowledge(hub_facts, relations),
            lambda: self.seen,
            lambda: self.times,
            self.device,
            self.__dict__["_features"],
        )

    def without_edges(self, row: Tensor, col: Tensor) -> HeteroGraph:
        return self.made.without_edges(row, col)

    def to(self, device: torch.device | str) -> HeteroGraph:
        if torch.device(device) == self.device:
            return self
        sizes = (self.num_users, self.num_items, self.num_entities)
        found = self.__dict__["_features"]
        return DeferredGraph(
            sizes, self.relations, lambda: self.made, lambda: self.seen, lambda: self.times, device, found
        )
