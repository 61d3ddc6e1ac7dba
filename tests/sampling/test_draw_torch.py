"""The sampler in torch operations draws what the compiled one draws, tensor by tensor, with every option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from graphrec.graph import HeteroGraph, build_graph
from graphrec.graph.hetero import assemble
from graphrec.sampling import ALL, NeighborSampler, Sample, draw, generator_for, hashing
from graphrec.sampling.draw_torch import TorchDrawing
from graphrec.sampling.fanouts import groups_of
from graphrec.sampling.plan import Plan, edges_of
from tests.worlds import hand_graph, small_world

WORLD = build_graph(small_world())
KINDS = {"interacts": [3, 2], "knowledge": [2, 4]}
FANOUTS = ([3, 2, 2], [ALL, 2], [2, ALL], [0, 3], KINDS, {"interacts": [ALL, 0], WORLD.relations[2]: [2, 1]})


def in_torch(graph: HeteroGraph, fanout: Any, replace: bool = False, **edges: torch.Tensor) -> NeighborSampler:
    """A sampler that draws by torch operations wherever the graph is."""
    sampler = NeighborSampler(graph, fanout, replace=replace, **edges)
    groups, fanouts = groups_of(graph.relations, fanout)
    prepared = edges_of(graph.adjacency, groups, edges.get("weight"), edges.get("time"))
    sampler._drawing = TorchDrawing(prepared, Plan(groups, fanouts, replace))
    return sampler


def check_equal(one: Sample, other: Sample) -> None:
    assert one.num_seeds == other.num_seeds and torch.equal(one.nodes, other.nodes.cpu())
    assert (one.tree is None) == (other.tree is None)
    assert one.tree is None or torch.equal(one.tree, other.tree.cpu())
    for here, there in zip(one.hops, other.hops, strict=True):
        assert here.csr.num_cols == there.csr.num_cols
        for name in ("rowptr", "col", "edge_type"):
            assert torch.equal(getattr(here.csr, name), getattr(there.csr, name).cpu())
        assert torch.equal(here.edge, there.edge.cpu())


def random_graph(seed: int) -> HeteroGraph:
    """Users, items and entities with two relations, some pairs joined by both, some nodes by nothing."""
    random = np.random.default_rng(seed)
    sizes = [int(size) for size in random.integers(1, 12, 3)]
    count = int(random.integers(0, 120))
    relation = random.integers(0, 3, count)
    source = np.where(relation, random.integers(0, sum(sizes), count), random.integers(0, sizes[0], count))
    target = np.where(relation, random.integers(0, sum(sizes), count), sizes[0] + random.integers(0, sizes[1], count))
    return assemble(tuple(sizes), ["interacts", "likes", "genre"], source, target, relation)


def world_case(timed: bool) -> tuple[torch.Tensor, dict[str, Any]]:
    """Seeds, and what else a sample takes."""
    user, item = WORLD.seen.row_index()[:60], WORLD.seen.col[:60].long() + WORLD.num_users
    seeds = torch.cat([user, item]).unique()
    until = torch.randint(100, (2 * len(seeds),), generator=generator_for(2)) if timed else None
    return seeds.repeat(2) if timed else seeds, {"removed": (user, item), "until": until}


@pytest.mark.parametrize("fanout", FANOUTS, ids=str)
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("timed", [False, True])
def test_a_world_is_sampled_the_same(fanout: Any, replace: bool, weighted: bool, timed: bool) -> None:
    edges: dict[str, torch.Tensor] = {}
    if weighted:
        edges["weight"] = torch.rand(WORLD.adjacency.num_edges, generator=generator_for(1)) ** 8
        edges["weight"][::5] = 0
    if timed:
        edges["time"] = torch.randint(100, (WORLD.adjacency.num_edges,), generator=generator_for(3))
    samplers = [make(WORLD, fanout, replace=replace, **edges) for make in (NeighborSampler, in_torch)]
    seeds, options = world_case(timed)
    for removed in (None, options["removed"]):
        for seed in (0, 2**64 - 1, -5):
            case = {**options, "removed": removed, "seed": seed}
            check_equal(*(sampler.sample(seeds, **case) for sampler in samplers))


@settings(max_examples=80)
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([1, 2, 5]))
def test_any_graph_is_sampled_the_same(seed: int, replace: bool, weighted: bool, timed: bool, most: int) -> None:
    graph, draws = random_graph(seed), generator_for(seed)
    nodes, edges = graph.num_nodes, graph.adjacency.num_edges
    options: dict[str, torch.Tensor] = {}
    if weighted:
        options["weight"] = torch.randint(3, (edges,), generator=draws) * torch.rand(edges, generator=draws) ** 20
    if timed:
        options["time"] = torch.randint(9, (edges,), generator=draws)
    seeds = torch.randperm(nodes, generator=draws)[: 1 + nodes // 2]
    until = torch.randint(9, (len(seeds),), generator=draws) if timed else None
    removed = tuple(torch.randint(nodes, (2, 20), generator=draws))
    for fanout in ([most, most], {"interacts": [ALL, most], "likes": [most, ALL], "genre": [1, 0]}):
        samplers = [make(graph, fanout, replace=replace, **options) for make in (NeighborSampler, in_torch)]
        check_equal(*(sampler.sample(seeds, seed=seed, removed=removed, until=until) for sampler in samplers))


def test_no_seeds_lonely_seeds_and_no_edges_at_all() -> None:
    empty = assemble((2, 2, 0), ["interacts"], *np.empty((3, 0), int))
    for graph, seeds in ((hand_graph(knowledge=False), [4, 5]), (hand_graph(), []), (empty, [0, 3])):
        for fanout in ([2, 2], [ALL, 0]):
            samplers = [make(graph, fanout) for make in (NeighborSampler, in_torch)]
            nodes = torch.tensor(seeds, dtype=torch.int64)
            removed = torch.tensor([0]), torch.tensor([3])
            check_equal(*(sampler.sample(nodes, seed=0, removed=removed) for sampler in samplers))
    weighted = [make(empty, [2], weight=torch.empty(0)) for make in (NeighborSampler, in_torch)]
    check_equal(*(sampler.sample(torch.tensor([0, 3]), seed=0) for sampler in weighted))


def test_the_random_numbers_are_the_kernels() -> None:
    states = torch.randint(-(2**63), 2**63 - 1, (1000,), generator=generator_for(1))
    for limit in (1, 7, 2**31, 2**32 - 1):
        expected = [draw._below.py_func(np.uint64(state), limit) for state in states.numpy().view(np.uint64)]
        assert hashing.below(states, torch.tensor(limit)).tolist() == expected
    share = hashing.share(states)
    assert float(share.min()) >= 0 and float(share.max()) < 1


class Waits(TorchDispatchMode):
    """Counts the operations after which a GPU would have to be waited for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func._schema.name, kwargs or {}
        masked = name in ("aten::index", "aten::index_put_") and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        )
        unsized = name == "aten::repeat_interleave" and kwargs.get("output_size") is None
        self.count += masked or unsized or name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2")
        return func(*args, **kwargs)


def test_a_gpu_is_waited_for_twice_a_hop() -> None:
    for timed, hop, start in ((False, 2, 0), (True, 1, 0), (False, 2, 2)):
        time = torch.zeros(WORLD.adjacency.num_edges) if timed else None
        drawing = in_torch(WORLD, [3, ALL, 2], **({} if time is None else {"time": time}))._drawing
        seeds, options = world_case(False)
        limit = torch.ones(len(seeds), dtype=torch.float64) if timed else None
        with Waits() as waits:
            drawing.draw(seeds, 1, options["removed"] if start else None, limit)
        assert waits.count == 3 * hop + start


@pytest.mark.gpu
@pytest.mark.parametrize("fanout", FANOUTS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("timed", [False, True])
def test_a_gpu_draws_the_same(fanout: Any, weighted: bool, timed: bool) -> None:
    edges: dict[str, torch.Tensor] = {}
    if weighted:
        edges["weight"] = torch.rand(WORLD.adjacency.num_edges, generator=generator_for(1)) ** 8
    if timed:
        edges["time"] = torch.randint(100, (WORLD.adjacency.num_edges,), generator=generator_for(3))
    seeds, options = world_case(timed)
    there = NeighborSampler(WORLD.to("cuda"), fanout, **edges).sample(seeds, seed=1, **options)
    assert there.nodes.is_cuda and there.hops[0].csr.device.type == "cuda"
    check_equal(NeighborSampler(WORLD, fanout, **edges).sample(seeds, seed=1, **options), there)


@pytest.mark.parametrize("fanout", [[2, 2], KINDS])
def test_edges_of_each_group_are_counted(fanout: Any) -> None:
    nodes = torch.arange(WORLD.num_nodes).flip(0)
    groups, _ = groups_of(WORLD.relations, fanout)
    kinds, degree = WORLD.adjacency.edge_type.numpy(), WORLD.adjacency.degree.numpy()
    group = np.searchsorted(groups, kinds, side="right") - 1
    rows = np.repeat(np.arange(WORLD.num_nodes), degree)
    expected = np.zeros((WORLD.num_nodes, len(groups) - 1), np.int64)
    np.add.at(expected, (rows, group), 1)
    for sampler in (NeighborSampler(WORLD, fanout), in_torch(WORLD, fanout)):
        assert np.array_equal(sampler.counts(nodes).numpy(), expected[nodes.numpy()])
