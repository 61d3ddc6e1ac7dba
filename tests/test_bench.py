"""The bench's rows, and that ours and the peer do the same work; no time is asserted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from graphrec import bench
from graphrec.bench.measure import Machine, extra_megabytes
from graphrec.bench.memory import measured_apart
from graphrec.bench.pairs import draw_pairs, read_pairs
from graphrec.bench.work import attention_call, our_building, our_step, peer_building, peer_step
from tests.worlds import small_world

FIELDS = ["work", "ours_s", "peer", "peer_s", "ratio", "ours_mb", "peer_mb", "floor_s"]
WORKS = [
    "LightGCN training step",
    "LightGCN training step",
    "attention layer, additive",
    "attention layer, v2",
    "attention layer, dot",
]
WORKS += ["building the graph", "ranking all items"]


def check(rows: list[bench.Row]) -> None:
    for row, work in zip(rows, WORKS, strict=True):
        assert row["work"].startswith(work)
        assert list(row) == FIELDS
        numbers = [row["ours_s"], row["floor_s"]]
        if row["peer"] is None:
            assert row["peer_s"] is None and row["ratio"] is None
        else:
            numbers += [row["peer_s"], row["ratio"]]
            assert row["ratio"] == row["peer_s"] / row["ours_s"]
        assert all(math.isfinite(number) and number > 0 for number in numbers)


def test_rows_on_a_drawn_graph_and_on_a_graph_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(name: str, folder: str | None, edges: int) -> float:
        asked.append((name, folder))
        return 1.5

    monkeypatch.setattr(bench, "measured_apart", measured)
    monkeypatch.setattr(bench, "measure_machine", lambda: Machine(bandwidth=1e10, arithmetic=1e11))
    rows = bench.run_bench(edges=2000, repeats=2)
    check(rows)
    peers = [
        "PyG LightGCN",
        "PyG LightGCN",
        "PyG GATConv",
        "PyG GATv2Conv",
        "PyG GATConv",
        "PyG to_undirected, gcn_norm",
        None,
    ]
    assert [row["peer"] for row in rows] == peers
    assert (
        [row["ours_mb"] for row in rows] == [row["peer_mb"] for row in rows] == [None, None, 1.5, 1.5, 1.5, None, None]
    )

    small_world().save(tmp_path)
    check(bench.run_bench(tmp_path, repeats=1))
    layers = ("additive", "v2", "dot", "GATConv", "GATv2Conv")
    assert asked == [(name, folder) for folder in (None, str(tmp_path)) for name in layers]

    asked.clear()
    alone = bench.run_bench(edges=2000, repeats=1, peer=False)
    check(alone)
    assert all(row["peer"] is None and row["peer_mb"] is None for row in alone)
    assert [name for name, _ in asked] == ["additive", "v2", "dot"]


def test_drawn_pairs() -> None:
    pairs = draw_pairs(3000, seed=1)
    assert len(pairs.user) == len(pairs.item) == 1500
    keys = pairs.user.astype(np.int64) * pairs.num_items + pairs.item
    assert (np.diff(keys) > 0).all()
    assert pairs.user.max() < pairs.num_users and pairs.item.max() < pairs.num_items
    np.testing.assert_array_equal(pairs.user, draw_pairs(3000, seed=1).user)
    assert pairs.graph().adjacency.num_edges == pairs.edge_index().shape[1] == 3000
    assert pairs.test.degree.tolist() == [1] * pairs.num_users


def test_a_large_graph_is_ranked_for_as_many_users_as_gowalla_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphrec.bench.pairs.GOWALLA_USERS", 20)
    assert draw_pairs(3000).test.degree.sum() == 20


def test_a_graph_folder_gives_all_train_rows_and_the_test_rows(tmp_path: Path) -> None:
    data = small_world()
    data.save(tmp_path)
    pairs = read_pairs(tmp_path)
    assert len(pairs.user) + pairs.test.num_edges == len(data.interactions)


@pytest.mark.parametrize(("ours", "peer"), [("additive", "GATConv"), ("v2", "GATv2Conv")])
def test_attention_layers_give_the_peers_output_and_gradient(ours: str, peer: str) -> None:
    pairs = draw_pairs(2000)
    torch.testing.assert_close(attention_call(ours, pairs)(), attention_call(peer, pairs)(), rtol=1e-4, atol=1e-5)


def test_both_build_the_same_graph() -> None:
    pairs = draw_pairs(2000)
    csr, (edge_index, weight) = our_building(pairs)(), peer_building(pairs)()
    torch.testing.assert_close(torch.stack([csr.row_index(), csr.col.long()]), edge_index)
    torch.testing.assert_close(csr.value, weight)


def test_both_steps_train() -> None:
    pairs = draw_pairs(2000)
    for make in (our_step, peer_step):
        step = make(pairs)
        losses = [step() for _ in range(30)]
        assert abs(losses[0] - math.log(2)) < 0.05
        assert losses[-1] < losses[0]


def test_floor_is_what_takes_longer() -> None:
    machine = Machine(bandwidth=10.0, arithmetic=100.0)
    assert machine.floor(50.0) == 50 / 10
    assert machine.floor(50.0, 1000.0) == 1000 / 100


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's peak memory")
def test_memory_of_a_call() -> None:
    found = extra_megabytes(lambda: torch.ones(2**24))  # 64 MB
    assert found is not None and 60 < found < 80
    apart = measured_apart("additive", None, 2000)
    assert apart is not None and 0 <= apart < 100
