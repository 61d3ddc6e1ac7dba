"""Neighbour sampling: what is drawn by hand, how often, what is never drawn, and that all edges are the whole graph."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph, build_graph
from graphrec.graph.hetero import assemble
from graphrec.sampling import ALL, NeighborSampler, Sample, generator_for
from graphrec.sparse import CSR
from tests.worlds import hand_graph, small_world

WORLD = build_graph(small_world())
USERS, ITEMS = WORLD.num_users, WORLD.num_items


def star(items: int = 8) -> HeteroGraph:
    """User 0 has used all items, nodes 1 to 8."""
    return assemble((1, items, 0), ["interacts"], np.zeros(items, int), np.arange(1, items + 1), np.zeros(items, int))


def check(graph: HeteroGraph, sample: Sample) -> None:
    """Every edge of the sample is the graph's edge of that number; nodes come once, or once a tree."""
    row, adjacency = graph.adjacency.row_index(), graph.adjacency
    for hop in sample.hops:
        CSR(hop.csr.rowptr, hop.csr.col, hop.csr.num_cols, hop.csr.edge_type)  # its checks
        assert torch.equal(sample.nodes[hop.csr.row_index()], row[hop.edge])
        assert torch.equal(sample.nodes[hop.csr.col.long()], adjacency.col[hop.edge].long())
        assert torch.equal(hop.csr.edge_type, adjacency.edge_type[hop.edge])
    sizes = [hop.csr.num_rows for hop in sample.hops] + [len(sample.nodes)]
    assert sizes[0] == sample.num_seeds and sizes[1:] == [hop.csr.num_cols for hop in sample.hops]
    if sample.tree is None:
        assert len(sample.nodes.unique()) == len(sample.nodes)


def test_by_hand() -> None:
    """From user 1: its item 1 (node 3); then its own item again, and of item 1 both users and the entity."""
    sample = NeighborSampler(hand_graph(), [ALL, ALL]).sample(torch.tensor([1]), seed=0)
    check(hand_graph(), sample)
    assert sample.nodes.tolist() == [1, 3, 0, 5]
    first, second = (hop.csr for hop in sample.hops)
    assert (first.rowptr.tolist(), first.col.tolist(), first.edge_type.tolist()) == ([0, 1], [1], [1])
    assert (second.rowptr.tolist(), second.col.tolist()) == ([0, 1, 4], [1, 2, 0, 3])
    assert second.edge_type.tolist() == [1, 0, 0, 3]


def test_a_fanout_for_each_kind_of_edge() -> None:
    seeds = torch.tensor([3])  # item 1: two users and an entity
    for fanout, met in (
        ({"interacts": [ALL]}, [0, 1]),
        ({"knowledge": [2]}, [5]),
        ({"genre": [1]}, [5]),
        ({"interacts": [2], "knowledge": [1]}, [0, 1, 5]),
        ({"interacts": [0], "genre": [0]}, []),
        ([ALL], [0, 1, 5]),
    ):
        sample = NeighborSampler(hand_graph(), fanout).sample(seeds, seed=0)
        assert sorted(sample.nodes.tolist()[1:]) == met
    each = NeighborSampler(hand_graph(), {"interacts": [1, 0], "knowledge": [0, 1]}).sample(seeds, seed=0)
    assert [hop.csr.edge_type.tolist() for hop in each.hops] == [[0], [3]]


def test_all_edges_are_the_whole_graph() -> None:
    seeds = torch.arange(WORLD.num_nodes)
    (hop,) = NeighborSampler(WORLD, [ALL]).sample(seeds, seed=0).hops
    assert torch.equal(hop.edge, torch.arange(WORLD.adjacency.num_edges))
    assert torch.equal(hop.csr.rowptr, WORLD.adjacency.rowptr) and torch.equal(hop.csr.col, WORLD.adjacency.col)


@pytest.mark.parametrize("fanout", [1, 3, 7])
def test_every_edge_is_drawn_equally_often(fanout: int) -> None:
    sampler, graph = NeighborSampler(star(), [fanout]), star()
    drawn = [sampler.sample(torch.tensor([0]), seed=seed).nodes[1:].tolist() for seed in range(3000)]
    assert all(len(set(nodes)) == fanout for nodes in drawn)
    count = Counter(itertools.chain.from_iterable(drawn))
    assert chisquare([count[node] for node in range(1, graph.num_nodes)]).pvalue > 1e-3


def test_every_set_of_edges_is_drawn_equally_often() -> None:
    sampler = NeighborSampler(star(5), [2])
    sets = Counter(frozenset(sampler.sample(torch.tensor([0]), seed=seed).nodes[1:].tolist()) for seed in range(4000))
    assert len(sets) == 10 and chisquare([*sets.values()]).pvalue > 1e-3


def test_with_replacement_edges_repeat_and_are_drawn_independently() -> None:
    sampler = NeighborSampler(star(4), [2], replace=True)
    pairs = Counter(tuple(sampler.sample(torch.tensor([0]), seed=seed).hops[0].edge.tolist()) for seed in range(4000))
    assert len(pairs) == 16 and chisquare([*pairs.values()]).pvalue > 1e-3


@pytest.mark.parametrize("replace", [True, False])
def test_weights_are_shares(replace: bool) -> None:
    graph = star(4)
    weight = torch.zeros(graph.adjacency.num_edges)
    weight[:4] = torch.tensor([1.0, 2.0, 0.0, 5.0])
    sampler = NeighborSampler(graph, [1], weight=weight, replace=replace)
    drawn = [sampler.sample(torch.tensor([0]), seed=seed).nodes[1].item() for seed in range(4000)]
    count = Counter(drawn)
    assert count[3] == 0
    assert chisquare([count[node] for node in (1, 2, 4)], [500, 1000, 2500]).pvalue > 1e-3
    for fanout in (3, 4, 9):  # as many as there are, or more
        sample = NeighborSampler(graph, [fanout], weight=weight).sample(torch.tensor([0]), seed=1)
        assert sample.nodes.tolist()[1:] == [1, 2, 4] or fanout == 3
        assert 3 not in sample.nodes
    assert NeighborSampler(graph, [ALL], weight=weight).sample(torch.tensor([0]), seed=1).nodes[1:].tolist() == [
        1,
        2,
        3,
        4,
    ]


def test_weights_without_replacement_follow_one_draw_after_another() -> None:
    """Of weights 1, 2, 5 two are drawn: {1, 2} has 1/8·2/7 + 2/8·1/6, and so on."""
    graph = star(3)
    weight = torch.ones(graph.adjacency.num_edges)
    weight[:3] = torch.tensor([1.0, 2.0, 5.0])
    sampler = NeighborSampler(graph, [2], weight=weight)
    count = Counter(frozenset(sampler.sample(torch.tensor([0]), seed=seed).nodes[1:].tolist()) for seed in range(4000))
    chances = {(1, 2): 1 / 8 * 2 / 7 + 2 / 8 * 1 / 6, (1, 3): 1 / 8 * 5 / 7 + 5 / 8 * 1 / 3}
    chances[2, 3] = 1 - sum(chances.values())
    found = [count[frozenset(pair)] for pair in chances]
    assert chisquare(found, [4000 * chance for chance in chances.values()]).pvalue > 1e-3


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**63), st.lists(st.integers(0, WORLD.seen.num_edges - 1), min_size=1, max_size=60))
def test_a_removed_pair_is_never_drawn_at_any_hop_in_any_direction(seed: int, chosen: list[int]) -> None:
    user = WORLD.seen.row_index()[chosen]
    item = WORLD.seen.col[chosen].long() + USERS
    seeds = torch.cat([user, item]).unique()
    for fanout in ([3, 2, 2], [ALL, ALL], {"interacts": [2, 2], "knowledge": [1, 1]}):
        sample = NeighborSampler(WORLD, fanout).sample(seeds, seed=seed, removed=(user, item))
        check(WORLD, sample)
        forbidden = {*zip(user.tolist(), item.tolist(), strict=True)}
        for hop in sample.hops:
            row, col = sample.nodes[hop.csr.row_index()].tolist(), sample.nodes[hop.csr.col.long()].tolist()
            drawn = {*zip(row, col, strict=True)} | {*zip(col, row, strict=True)}
            assert not drawn & forbidden


def test_what_is_left_is_drawn_equally_often() -> None:
    sampler = NeighborSampler(star(), [3])
    removed = (torch.tensor([0, 0, 0]), torch.tensor([1, 4, 8]))
    drawn = [sampler.sample(torch.tensor([0]), seed=seed, removed=removed).nodes[1:].tolist() for seed in range(3000)]
    count = Counter(itertools.chain.from_iterable(drawn))
    assert sorted(count) == [2, 3, 5, 6, 7] and chisquare([*count.values()]).pvalue > 1e-3
    everything = sampler.sample(torch.tensor([0, 1]), seed=0)  # the next sample has forgotten them
    assert 0 in everything.nodes[everything.hops[0].csr.col.long()].tolist()


def test_a_node_draws_the_same_whatever_else_is_in_the_batch() -> None:
    sampler = NeighborSampler(WORLD, [2])
    alone = sampler.sample(torch.tensor([5]), seed=7).hops[0].edge
    among = sampler.sample(torch.tensor([9, 5, 70]), seed=7).hops[0]
    assert torch.equal(alone, among.edge[among.csr.rowptr[1] : among.csr.rowptr[2]])
    again = NeighborSampler(WORLD, [2]).sample(torch.tensor([5]), seed=8).hops[0].edge
    assert not torch.equal(alone, again)


def test_threads_share_a_sampler() -> None:
    sampler, seeds = NeighborSampler(WORLD, [4, 4]), torch.arange(60)
    removed = WORLD.seen.row_index()[:200], WORLD.seen.col[:200].long() + USERS

    def draw(seed: int) -> Sample:
        return sampler.sample(seeds, seed=seed, removed=removed)

    with ThreadPoolExecutor(2) as threads:
        for here, there in zip(map(draw, range(200)), threads.map(draw, range(200)), strict=True):
            assert torch.equal(here.nodes, there.nodes)
            for one, other in zip(here.hops, there.hops, strict=True):
                assert torch.equal(one.edge, other.edge) and torch.equal(one.csr.col, other.csr.col)


def test_rounding_leads_to_no_edge_without_weight() -> None:
    """Item 1's edges weigh next to nothing beside those before them, so that a draw is rounded to where they end."""
    graph = assemble((4, 2, 0), ["interacts"], np.arange(5) % 4, np.array([4, 5, 5, 5, 5]), np.zeros(5, int))
    weight = torch.zeros(graph.adjacency.num_edges, dtype=torch.float64)
    begin = int(graph.adjacency.rowptr[5])
    weight[0], weight[begin] = 1.0, 2.0**-52
    sampler = NeighborSampler(graph, [1], weight=weight)
    drawn = {int(edge) for seed in range(50) for edge in sampler.sample(torch.tensor([5]), seed=seed).hops[0].edge}
    assert drawn == {begin}


def test_no_edge_is_younger_than_its_seed() -> None:
    graph = WORLD
    time = torch.randint(100, (graph.adjacency.num_edges,), generator=generator_for(1))
    seeds = torch.arange(40).repeat(2)
    until = torch.randint(100, (80,), generator=generator_for(2))
    user, item = WORLD.seen.row_index()[:30], WORLD.seen.col[:30].long() + USERS
    for fanout in ([4, 3], [ALL, 2], {"interacts": [2, 2], "knowledge": [3, 3]}):
        sampler = NeighborSampler(graph, fanout, time=time)
        sample = sampler.sample(seeds, seed=3, until=until, removed=(user, item))
        check(graph, sample)
        assert sample.tree is not None and torch.equal(sample.tree[:80], torch.arange(80))
        forbidden = {*zip(user.tolist(), item.tolist(), strict=True)}
        for hop in sample.hops:
            limit = until[sample.tree[hop.csr.row_index()]]
            assert bool((time[hop.edge] <= limit).all())
            assert torch.equal(sample.tree[hop.csr.row_index()], sample.tree[hop.csr.col.long()])
            row, col = sample.nodes[hop.csr.row_index()].tolist(), sample.nodes[hop.csr.col.long()].tolist()
            assert not ({*zip(row, col, strict=True)} | {*zip(col, row, strict=True)}) & forbidden
    (hop,) = NeighborSampler(graph, [ALL], time=time).sample(seeds, seed=3, until=until).hops
    adjacency = graph.adjacency
    for place in range(80):
        node = seeds[place]
        edges = torch.arange(int(adjacency.rowptr[node]), int(adjacency.rowptr[node + 1]))
        expected = edges[time[edges] <= until[place]]
        assert hop.edge[hop.csr.rowptr[place] : hop.csr.rowptr[place + 1]].sort().values.tolist() == expected.tolist()


def test_no_seeds_and_lonely_seeds() -> None:
    sample = NeighborSampler(hand_graph(knowledge=False), [2, 2]).sample(torch.tensor([4, 5]), seed=0)
    assert sample.nodes.tolist() == [4, 5] and all(hop.csr.num_edges == 0 for hop in sample.hops)
    assert len(NeighborSampler(hand_graph(), [2]).sample(torch.tensor([], dtype=torch.int64), seed=0).nodes) == 0


@pytest.mark.parametrize(
    ("fanout", "message"),
    [
        ({"interact": [2]}, "fan-out 'interact' names no kind of edge"),
        ({"knowledge": [2], "genre": [2]}, "either knowledge or single relations"),
        ({"interacts": [2, 2], "knowledge": [2]}, "one number for each hop"),
        ([], "one number for each hop"),
        ({}, "at least one kind of edge"),
        ([3, -2], "must be >= 0, or -1 for all edges, got -2"),
    ],
)
def test_fanouts_that_make_no_sense_are_refused(fanout: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NeighborSampler(hand_graph(), fanout)


def test_seeds_weights_and_times_that_do_not_fit_are_refused() -> None:
    graph, edges = hand_graph(), hand_graph().adjacency.num_edges
    sampler, timed = NeighborSampler(graph, [2]), NeighborSampler(graph, [2], time=torch.zeros(edges))
    for seeds, message in (([0, 6], r"seeds must lie in \[0, 6\), got 0\.\.6"), ([1, 1], "seeds must be distinct")):
        with pytest.raises(UsageError, match=message):
            sampler.sample(torch.tensor(seeds), seed=0)
    with pytest.raises(UsageError, match="until needs a sampler with times"):
        sampler.sample(torch.tensor([0]), seed=0, until=torch.tensor([1.0]))
    with pytest.raises(UsageError, match="until needs a sampler with times"):
        timed.sample(torch.tensor([0]), seed=0)
    with pytest.raises(UsageError, match=r"until must have shape \[1\], got \[2\]"):
        timed.sample(torch.tensor([0]), seed=0, until=torch.zeros(2))
    with pytest.raises(UsageError, match=rf"weight must have shape \[{edges}\], got \[1\]"):
        NeighborSampler(graph, [2], weight=torch.ones(1))
    for removed, message in (
        (([0], [6]), r"removed must lie in \[0, 6\)"),
        (([0.0], [2.0]), "removed must be integers"),
        (([0, 1], [2]), "two tensors of one length, got 2 and 1"),
    ):
        with pytest.raises(UsageError, match=message):
            sampler.sample(torch.tensor([0]), seed=0, removed=tuple(map(torch.tensor, removed)))
    with pytest.raises(UsageError, match="seeds must be integers"):
        sampler.sample(torch.tensor([0.0]), seed=0)
    with pytest.raises(UsageError, match="until must be a time for every seed, got NaN"):
        timed.sample(torch.tensor([0]), seed=0, until=torch.tensor([torch.nan]))
    with pytest.raises(UsageError, match="every edge needs a time, got NaN"):
        NeighborSampler(graph, [2], time=torch.full((edges,), torch.nan))
    with pytest.raises(UsageError, match="every weight must be finite and >= 0"):
        NeighborSampler(graph, [2], weight=torch.full((edges,), torch.nan))
