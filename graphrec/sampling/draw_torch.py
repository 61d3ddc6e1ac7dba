"""The sampler in torch operations, for a graph on any device: draws exactly the edges that the compiled kernels draw.

It has not run on a GPU yet; the tests compare it with the kernels on the CPU.

N nodes, E edges, K hops, G groups of edge types, n nodes known, C = n × G cells (a node's edges of one group), F the
largest fan-out of a hop, m edges drawn at it, P removed edges, R edge types.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec.sampling.draw import Edges
from graphrec.sampling.hashing import after, below, share, stream_of
from graphrec.sampling.plan import Drawn, Plan


class Cells(NamedTuple):
    """What each cell may draw, int64 [C] each unless said otherwise.

    Args:
        begin, end: places of its edges.
        gone, gone_end: where its removed places begin and end among all.
        left: how many edges are not removed.
        fanout: −1 for all.
        whole: bool, whether all that are left are taken.
        stream: state of its random numbers.
    """

    begin: Tensor
    end: Tensor
    gone: Tensor
    gone_end: Tensor
    left: Tensor
    fanout: Tensor
    whole: Tensor
    stream: Tensor


class TorchDrawing:
    """Draws for all nodes at once; the device is waited for twice a hop, with weights once a draw too.

    Args:
        edges: tensors on one device.
        plan: what to draw.
    """

    def __init__(self, edges: Edges, plan: Plan) -> None:
        self.edges = edges
        self.device = edges.rowptr.device
        self.groups = torch.from_numpy(plan.groups).to(self.device)
        self.fanouts = torch.from_numpy(plan.fanouts).to(self.device)
        self.most = plan.fanouts.max(axis=1).clip(min=0).tolist()  # F of each hop
        self.replace = plan.replace
        self.num_types = int(plan.groups[-1])
        self.steps = int(edges.rowptr.diff().max()).bit_length() if len(edges.rowptr) > 1 else 0  # of a binary search
        self._place = torch.empty_like(edges.order)  # of each edge in the order of time
        self._place[edges.order] = torch.arange(len(edges.order), device=self.device)

    def draw(self, seeds: Tensor, seed: int, removed: tuple[Tensor, Tensor] | None, limit: Tensor | None) -> Drawn:
        """As ``Drawing`` says."""
        nodes = seeds
        tree = None if limit is None else torch.arange(len(seeds), device=self.device)
        gone = self._removed(removed)
        slot = None if tree is not None else self._slots(nodes)
        hops = []
        for hop in range(len(self.fanouts)):
            cells = self._cells(hop, seed, nodes, tree, limit, gone)
            rowptr, edge = self._draw_hop(cells, self.most[hop], gone)
            sender = self.edges.col[edge].long()
            col = torch.arange(len(nodes), len(nodes) + len(sender), device=self.device)
            if tree is None:
                assert slot is not None
                col, sender = _number(slot, sender, col)
            else:  # every edge leads to a node of its own
                tree = torch.cat([tree, tree.repeat_interleave(rowptr.diff(), output_size=len(sender))])
            nodes = torch.cat([nodes, sender])
            hops.append((rowptr, col.int(), edge))
        return Drawn(nodes, tree, hops)

    def counts(self, nodes: Tensor) -> Tensor:
        """As ``Drawing`` says."""
        begin, end = self._ranges(nodes)
        return (end - begin).view(len(nodes), self.fanouts.shape[1])

    def _slots(self, nodes: Tensor) -> Tensor:
        """Each graph node's place in the sample, int64 [N], beyond all places where there is none."""
        slot = torch.full((len(self.edges.rowptr) - 1,), torch.iinfo(torch.int64).max, device=self.device)
        slot[nodes] = torch.arange(len(nodes), device=self.device)
        return slot

    def _cells(
        self, hop: int, seed: int, nodes: Tensor, tree: Tensor | None, limit: Tensor | None, gone: Tensor
    ) -> Cells:
        num_groups = self.fanouts.shape[1]
        names = nodes if tree is None else torch.arange(len(nodes), device=self.device)
        group = torch.arange(num_groups, device=self.device)
        begin, end = self._ranges(nodes)
        if limit is not None and tree is not None:
            until = limit[tree].repeat_interleave(num_groups)
            end = self._bound(self.edges.time, begin, end, until, right=True)
        first, last = (torch.searchsorted(gone, places) for places in (begin, end))
        fanout = self.fanouts[hop].repeat(len(nodes))
        left = (end - begin - (last - first)) * (fanout != 0)
        whole = fanout < 0 if self.replace else (fanout < 0) | (left <= fanout)
        stream = stream_of(seed, names[:, None], hop, group).flatten()
        return Cells(begin, end, first, last, left, fanout, whole, stream)

    def _ranges(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Where each node's edges of each group begin and end, int64 [n × G]."""
        num_groups = self.fanouts.shape[1]
        begin, end = (self.edges.rowptr[nodes + more].repeat_interleave(num_groups) for more in (0, 1))
        if num_groups == 1:
            return begin, end
        first, last = (
            self._bound(self.edges.edge_type, begin, end, bounds.repeat(len(nodes)))
            for bounds in (self.groups[:-1], self.groups[1:])
        )
        return first, last

    def _draw_hop(self, cells: Cells, most: int, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Row pointers, int64 [n + 1], and numbers of the edges drawn, int64 [m]."""
        weighted = len(self.edges.weight) > 0
        count = torch.where(cells.whole, cells.left, torch.where(cells.left > 0, cells.fanout, 0))
        if weighted:
            chosen, drawn = self._by_weight(cells, most, gone)
            count = torch.where(cells.whole, count, drawn)
        else:
            chosen = _ranks(cells, most, self.replace)
        ends = count.cumsum(0)
        total = int(ends[-1]) if len(ends) else 0
        cell = torch.arange(len(count), device=self.device).repeat_interleave(count, output_size=total)
        draw = torch.arange(total, device=self.device) - (ends - count)[cell]
        picked = chosen[draw.clamp(max=most - 1), cell] if most else draw
        rank = draw if weighted else torch.where(cells.whole[cell], draw, picked)
        place = _at(cells, cell, rank, gone)
        rowptr = torch.nn.functional.pad(ends[self.fanouts.shape[1] - 1 :: self.fanouts.shape[1]], (1, 0))
        if weighted:
            place = torch.where(cells.whole[cell], place, picked)
            kept = (cells.fanout[cell] < 0) | (self.edges.weight[place + 1] > self.edges.weight[place])
            rowptr = torch.nn.functional.pad(kept.cumsum(0), (1, 0))[rowptr]
            place = place[kept]
        return rowptr, self.edges.order[place] if len(self.edges.order) else place

    def _by_weight(self, cells: Cells, most: int, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Places in order of the draws, int64 [F, C], and how many there are, int64 [C]; as ``draw._draw_weighted``."""
        weight = self.edges.weight
        total = weight[cells.end] - weight[cells.begin]
        wanted = torch.where(~cells.whole & (cells.left > 0) & (total > 0), cells.fanout, 0)
        chosen, drawn = torch.full((most, len(wanted)), -1, device=self.device), torch.zeros_like(wanted)
        active = torch.arange(len(wanted), device=self.device)
        for turn in range(16 * most):
            active = active[(drawn < wanted)[active] & (turn < 16 * wanted)[active]]
            if len(active) == 0:
                break
            begin, end, row = cells.begin[active], cells.end[active], drawn[active]
            target = weight[begin] + share(after(cells.stream[active], turn + 1)) * total[active]
            # Added weights only rise, so that the place in a row follows from the place among all.
            place = (torch.searchsorted(weight, target, right=True) - 1).clamp(begin, end - 1)
            fresh = (weight[place + 1] > weight[place]) & ~_among(gone, place)
            if not self.replace:
                fresh &= (chosen[:, active] != place).all(dim=0)
            chosen[row, active] = torch.where(fresh, place, -1)
            drawn[active] = row + fresh
        return chosen, drawn

    def _removed(self, pairs: tuple[Tensor, Tensor] | None) -> Tensor:
        """The places of all edges between the pairs, int64 [P], ascending; see ``draw.edges_between``."""
        if pairs is None:
            return torch.empty(0, dtype=torch.int64, device=self.device)
        one, other = pairs
        row, col = torch.cat([one, other])[:, None], torch.cat([other, one])[:, None]
        kinds = torch.arange(self.num_types, device=self.device).expand(len(row), -1)
        first, last = (self.edges.rowptr[row + more].expand_as(kinds) for more in (0, 1))
        begin, end = (self._bound(self.edges.edge_type, first, last, kinds, right=right) for right in (False, True))
        col = col.expand_as(kinds)
        begin, end = (self._bound(self.edges.col, begin, end, col, right=right).flatten() for right in (False, True))
        count = end - begin
        total = int(count.sum())
        before = (count.cumsum(0) - count - begin).repeat_interleave(count, output_size=total)
        number = torch.arange(total, device=self.device) - before
        return (self._place[number] if len(self._place) else number).unique()

    def _bound(self, values: Tensor, begin: Tensor, end: Tensor, wanted: Tensor, *, right: bool = False) -> Tensor:
        """The first place in [begin, end) whose value is at least ``wanted``, or greater; ``end`` if there is none."""
        last = len(values) - 1
        for _ in range(self.steps if last >= 0 else 0):
            middle = (begin + end) // 2
            value = values[middle.clamp(max=last)]
            lower = (value <= wanted if right else value < wanted) & (begin < end)
            begin, end = torch.where(lower, middle + 1, begin), torch.where(lower, end, middle)
        return begin


def _ranks(cells: Cells, most: int, replace: bool) -> Tensor:
    """Uniform ranks among the edges left, int64 [F, C]; without replacement by Floyd's algorithm."""
    ranks = cells.left.new_empty((most, len(cells.left)))
    for draw in range(most):
        stream = after(cells.stream, draw + 1)
        if replace:
            ranks[draw] = below(stream, cells.left)
        else:
            last = cells.left - cells.fanout + draw
            rank = below(stream, last + 1)
            ranks[draw] = torch.where((ranks[:draw] == rank).any(dim=0), last, rank)
    return ranks


def _at(cells: Cells, cell: Tensor, rank: Tensor, gone: Tensor) -> Tensor:
    """Places of the rank-th edges of cells that are not removed.

    Before the k-th removed place of a cell stand (that place − begin − k) others, a number that never falls with k.
    """
    place = cells.begin[cell] + rank
    if len(gone) == 0:
        return place
    first = cells.gone[cell]
    others = gone - torch.arange(len(gone), device=gone.device)
    passed = torch.searchsorted(others, place - first, right=True)
    return place + torch.minimum(torch.maximum(passed, first), cells.gone_end[cell]) - first


def _among(gone: Tensor, place: Tensor) -> Tensor:
    """Whether each place is one of those, which ascend."""
    if len(gone) == 0:
        return torch.zeros_like(place, dtype=torch.bool)
    return gone[torch.searchsorted(gone, place).clamp(max=len(gone) - 1)] == place


def _number(slot: Tensor, sender: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Each sender's place, int64 [m], and those not met before, in order of first appearance; ``slot`` learns them."""
    slot.scatter_reduce_(0, sender, place, "amin")
    fresh = sender[slot[sender] == place]
    slot[fresh] = torch.arange(len(fresh), device=slot.device) + (place[0] if len(place) else 0)
    return slot[sender], fresh
