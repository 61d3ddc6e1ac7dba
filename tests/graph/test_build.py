from __future__ import annotations

import json
from dataclasses import replace

import networkx
import numpy as np
import pytest
import torch

from graphrec.data import Dataset, Interactions, Knowledge, Part
from graphrec.data.ids import IdMap
from graphrec.errors import DataError
from graphrec.graph import build_graph, graph_report, rows_csr, rows_times, to_networkx
from graphrec.graph.hetero import assemble

HELD_OUT = [part for part in Part if part is not Part.FIT]


def dataset(rows: list[tuple[int, int, Part]], triples: list[tuple[int, int, int]], names: tuple[str, ...]) -> Dataset:
    """Users 0–2, items 0–3 (nodes 3–6), entities 0–2 (nodes 7–9)."""
    user, item, part = np.array(sorted(rows), np.int32).reshape(-1, 3).T
    head, relation, tail = np.array(triples, np.int32).reshape(-1, 3).T
    return Dataset(
        IdMap.dense(3),
        IdMap.dense(4),
        IdMap.dense(3),
        Interactions(user, item, part.astype(np.uint8), np.ones_like(user)),
        Knowledge(head, relation, tail, names),
    )


def small() -> Dataset:
    rows = [
        (0, 0, Part.FIT),
        (0, 1, Part.SELECT),
        (1, 1, Part.FIT),
        (1, 2, Part.BLEND),
        (1, 0, Part.TEST),
        (1, 1, Part.TEST),  # given in train and test
    ]
    triples = [(3, 0, 7), (4, 0, 7), (7, 1, 3), (8, 1, 8), (3, 1, 7)]
    return dataset(rows, triples, ("genre", "about"))


def pairs(data: Dataset, *parts: Part) -> set[tuple[int, int]]:
    return set(zip(*(column.tolist() for column in data.interactions.select(*parts)), strict=True))


def seen_pairs(data: Dataset, *parts: Part) -> list[tuple[int, int]]:
    seen = build_graph(data, parts).seen
    return list(zip(seen.row_index().tolist(), seen.col.tolist(), strict=True))


def test_by_hand() -> None:
    graph = build_graph(small())
    assert graph.relations == ("interacts", "rev_interacts", "genre", "rev_genre", "about", "rev_about")
    columns = (graph.adjacency.row_index(), graph.adjacency.edge_type, graph.adjacency.col)
    assert set(zip(*(column.tolist() for column in columns), strict=True)) == {
        (3, 0, 0),
        (0, 1, 3),
        (4, 0, 1),
        (1, 1, 4),
        (7, 2, 3),
        (3, 3, 7),
        (7, 2, 4),
        (4, 3, 7),
        (3, 4, 7),
        (7, 5, 3),
        (7, 4, 3),
        (3, 5, 7),
    }
    assert graph.adjacency.num_edges == 12
    assert graph.dropped_self_loops == 1


def test_no_held_out_row_is_an_edge() -> None:
    assert seen_pairs(small(), Part.FIT) == [(0, 0), (1, 1)]
    assert set(seen_pairs(small(), Part.FIT)) & (pairs(small(), *HELD_OUT) - pairs(small(), Part.FIT)) == set()
    adjacency = build_graph(small()).adjacency
    joined = set(zip(adjacency.row_index().tolist(), adjacency.col.tolist(), strict=True))
    for user, item in pairs(small(), *HELD_OUT) - pairs(small(), Part.FIT):
        assert (user, 3 + item) not in joined and (3 + item, user) not in joined


def test_other_parts_on_request_and_each_pair_once() -> None:
    assert seen_pairs(small(), Part.FIT, Part.SELECT, Part.BLEND) == [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert seen_pairs(small(), *Part) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert seen_pairs(small()) == []


def test_without_knowledge() -> None:
    graph = build_graph(small(), knowledge=False)
    assert graph.relations == ("interacts", "rev_interacts")
    assert (graph.num_entities, graph.adjacency.num_edges) == (3, 4)
    assert build_graph(dataset([(0, 0, Part.FIT)], [], ())).relations == graph.relations


def test_relation_with_a_taken_name() -> None:
    with pytest.raises(DataError, match="got twice: interacts, rev_interacts\nrename them"):
        build_graph(dataset([(0, 0, Part.FIT)], [(3, 0, 7)], ("interacts",)))


def test_report() -> None:
    graph = build_graph(small())
    report = graph_report(graph)
    assert json.loads(json.dumps(report)) == report
    assert report["nodes"] == {"user": 3, "item": 4, "entity": 3}
    assert report["edges"] == {"interacts": 2, "genre": 2, "about": 2}
    # one component of users 0 1, items 3 4 and entity 7; alone: user 2, items 5 6, entities 8 9
    assert report["components"] == {"count": 6, "largest": 5}
    assert report["isolated"] == {"user": 1, "item": 2, "entity": 2}
    assert report["dropped_self_loops"] == 1
    assert report["degrees"]["user"] == {
        "mean": pytest.approx(2 / 3),
        "q0": 0.0,
        "q0.25": 0.5,
        "q0.5": 1.0,
        "q0.75": 1.0,
        "q0.9": 1.0,
        "q0.99": 1.0,
        "q1": 1.0,
    }


@pytest.mark.parametrize("seed", range(5))
def test_report_agrees_with_networkx(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = [(int(u), int(i), Part.FIT) for u, i in set(zip(*generator.integers(0, (3, 4), (3, 2)).T, strict=True))]
    triples = np.stack([generator.integers(0, 10, 4), generator.integers(0, 2, 4), generator.integers(0, 10, 4)]).T
    graph = build_graph(dataset(rows, triples.tolist(), ("genre", "about")))
    components = list(networkx.weakly_connected_components(to_networkx(graph)))
    report = graph_report(graph)
    assert report["components"] == {"count": len(components), "largest": max(map(len, components))}
    assert sum(report["isolated"].values()) == sum(len(nodes) == 1 for nodes in components)


def test_report_of_nothing() -> None:
    empty = Dataset(
        IdMap.dense(0),
        IdMap.dense(0),
        IdMap.dense(0),
        Interactions(*np.empty((2, 0), np.int32), np.empty(0, np.uint8), np.empty(0, np.int32)),
        Knowledge(),
    )
    report = graph_report(build_graph(empty))
    assert report["components"] == {"count": 0, "largest": 0}
    assert report["degrees"] == {}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("parts", [(Part.FIT,), tuple(Part)])
def test_walking_through_the_rows_is_sorting_them(seed: int, parts: tuple[Part, ...]) -> None:
    random = np.random.default_rng(seed)
    rows = {(random.integers(3), random.integers(4), Part(random.integers(4))) for _ in range(random.integers(25))}
    triples = [(a, r, b) for a, r, b in zip(*random.integers((0, 0, 0), (10, 2, 10), (seed * 3, 3)).T, strict=True)]
    data = dataset(list(rows), triples, ("genre", "about"))
    user, item = data.interactions.select(*parts)
    facts = data.knowledge
    sorted_too = assemble(
        (3, 4, 3),
        ["interacts", "genre", "about"],
        np.concatenate([user, facts.head]),
        np.concatenate([item + 3, facts.tail]),
        np.concatenate([np.zeros(len(user), np.int32), facts.relation + 1]),
    )
    walked = build_graph(data, parts)
    for field in ("rowptr", "col", "edge_type"):
        assert torch.equal(getattr(walked.adjacency, field), getattr(sorted_too.adjacency, field))
    assert walked.dropped_self_loops == sorted_too.dropped_self_loops


@pytest.mark.parametrize(
    "rows", [[(1, 0), (0, 1)], [(0, 1), (0, 0)], [(3, 0)], [(0, 4)], [(-1, 0)]], ids=["users", "items", "u", "i", "u<0"]
)
def test_rows_out_of_order_or_range_are_refused(rows: list[tuple[int, int]]) -> None:
    user, item = np.array(rows, np.int32).T
    data = dataset([], [], ())
    part, count = np.zeros(len(user), np.uint8), np.ones(len(user), np.int32)
    damaged = replace(data, interactions=Interactions(user, item, part, count))
    for make in (build_graph, lambda data: rows_csr(data, (Part.FIT,))):
        with pytest.raises(DataError, match=f"row {len(rows) - 1} of the interactions .* out of range or out of order"):
            make(damaged)


def timed() -> Dataset:
    """Rows in order: user 0 with items 0 1, user 1 with items 0 1 1 2."""
    data = small()
    return replace(data, interactions=replace(data.interactions, timestamp=np.array([7, -1, 3, 9, 8, 2])))


def test_times_stand_beside_the_pairs_they_belong_to() -> None:
    assert build_graph(small()).times is None
    graph = build_graph(timed())
    assert graph.times is not None and graph.times.tolist() == [7, 9]
    everything = build_graph(timed(), tuple(Part)).times
    assert everything is not None and everything.tolist() == [7, -1, 3, 9, 2]  # given twice, at 9 and 8: the later
    assert rows_times(timed(), (Part.SELECT,)).tolist() == [-1]


def test_times_stay_with_their_pairs() -> None:
    graph = build_graph(timed(), tuple(Part))
    assert graph.interactions_only().times is graph.times
    cut = graph.without_edges(torch.tensor([1, 3]), torch.tensor([3 + 1, 7]))  # user 1 and item 1; item 0 and entity 0
    assert cut.times is not None and cut.times.tolist() == [7, -1, 3, 2]
    assert cut.seen.num_edges == len(cut.times)
    assert graph.digest() != replace(graph, times=graph.times + 1).digest()
    with pytest.raises(DataError, match=r"times must be int64 \[5\], got torch.int64 \[4\]"):
        replace(graph, times=graph.times[1:])
