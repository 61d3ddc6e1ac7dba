"""The sampler on the CPU, by compiled kernels.

N nodes, E edges, K hops, G groups of edge types, n nodes known, m edges drawn at a hop, C = n × G.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrec.sampling.draw import Edges, Removed, draw_places, edges_between, find_ranges, number_nodes
from graphrec.sampling.plan import Drawn, Plan


class NumbaDrawing:
    """Draws on one thread.

    Args:
        edges: tensors on the CPU.
        plan: what to draw.
    """

    def __init__(self, edges: Edges, plan: Plan) -> None:
        self.edges = Edges(*(part.numpy() for part in edges))
        self.plan = plan
        self._place = np.empty(len(self.edges.order), np.int64)  # of each edge in the order of time
        self._place[self.edges.order] = np.arange(len(self._place))

    def draw(self, seeds: Tensor, seed: int, removed: tuple[Tensor, Tensor] | None, limit: Tensor | None) -> Drawn:
        """As ``Drawing`` says."""
        nodes = seeds.numpy()
        tree = None if limit is None else np.arange(len(nodes))
        limits = np.empty(0, np.float64) if limit is None else limit.numpy()
        gone = self._removed(removed)
        hops = []
        for hop in range(len(self.plan.fanouts)):
            rowptr, edge = self._draw_hop(hop, seed, nodes, tree, limits, gone)
            nodes, tree, col = _meet(nodes, tree, rowptr, self.edges.col.take(edge), len(self.edges.rowptr) - 1)
            hops.append((torch.from_numpy(rowptr), torch.from_numpy(col), torch.from_numpy(edge)))
        return Drawn(torch.from_numpy(nodes), None if tree is None else torch.from_numpy(tree), hops)

    def counts(self, nodes: Tensor) -> Tensor:
        """As ``Drawing`` says."""
        begin, end = np.empty((2, len(nodes) * self.plan.fanouts.shape[1]), np.int64)
        find_ranges(self.edges, self.plan.groups, nodes.numpy(), nodes.numpy(), np.empty(0), begin, end)
        return torch.from_numpy(end - begin).view(len(nodes), self.plan.fanouts.shape[1])

    def _draw_hop(
        self, hop: int, seed: int, nodes: np.ndarray, tree: np.ndarray | None, limit: np.ndarray, removed: Removed
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row pointers, int64 [n + 1], and numbers of the edges drawn, int64 [m]."""
        edges, (groups, fanouts, replace) = self.edges, self.plan
        begin, end = np.empty((2, len(nodes) * fanouts.shape[1]), np.int64)
        find_ranges(edges, groups, nodes, nodes if tree is None else tree, limit, begin, end)
        most = np.where(fanouts[hop] < 0, (end - begin).reshape(len(nodes), fanouts.shape[1]), fanouts[hop])
        rowptr, place = np.empty(len(nodes) + 1, np.int64), np.empty(int(most.sum()), np.int64)
        names = nodes if tree is None else np.arange(len(nodes))
        how = (edges.weight, fanouts[hop], replace, np.uint64(seed % 2**64), np.uint64(hop))
        place = place[: draw_places(*how, nodes, names, removed, begin, end, rowptr, place)]
        return rowptr, edges.order[place] if len(edges.order) else place

    def _removed(self, pairs: tuple[Tensor, Tensor] | None) -> Removed:
        """The places of all edges between the pairs, by the node that they lead to."""
        nothing = np.empty(0, np.int64)
        if pairs is None:
            return Removed(nothing, nothing, nothing)
        one, other = (nodes.numpy() for nodes in pairs)
        row, col = np.concatenate([one, other]), np.concatenate([other, one])
        number = np.empty(edges_between(self.edges, row, col, False, nothing), np.int64)
        edges_between(self.edges, row, col, True, number)
        place = np.unique(self._place[number] if len(self._place) else number)
        node, begin = np.unique(np.searchsorted(self.edges.rowptr, place, side="right") - 1, return_index=True)
        table = _empty_table(len(node))
        number_nodes(table, node, len(node), node[:0], node[:0])
        return Removed(table, np.append(begin, len(place)), place)


def _meet(
    nodes: np.ndarray, tree: np.ndarray | None, rowptr: np.ndarray, sender: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Nodes and trees with the senders added, and each sender's place, int32 [m]."""
    known, most = len(nodes), len(nodes) + len(sender)
    if tree is not None:  # every edge leads to a node of its own
        trees = np.concatenate([tree, np.repeat(tree, np.diff(rowptr))])
        return np.concatenate([nodes, sender]), trees, np.arange(known, most, dtype=np.int32)
    room, col = np.empty(min(most, num_nodes), np.int64), np.empty(len(sender), np.int32)
    room[:known] = nodes
    return room[: number_nodes(_empty_table(len(room)), room, known, sender, col)], None, col


def _empty_table(size: int) -> np.ndarray:
    """A hash table for so many nodes, at most half full."""
    return np.full(1 << (2 * size).bit_length(), -1)
