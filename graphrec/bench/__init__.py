"""How fast graphrec is on this machine, beside PyTorch Geometric and beside what the machine allows."""

from __future__ import annotations

import os
from statistics import median
from typing import Any

from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphrec.bench.measure import Machine, measure_machine, times
from graphrec.bench.memory import measured_apart
from graphrec.bench.pairs import GOWALLA_EDGES, Pairs, draw_pairs, read_pairs
from graphrec.bench.work import BATCH, HEADS, LAYERS, WIDTH, attention_call, our_step, peer_step
from graphrec.evaluation import evaluate
from graphrec.models import EmbeddingSettings, LightGCN
from graphrec.sampling import generator_for
from graphrec.sparse import symmetric_normalize

Row = dict[str, Any]
K = 20


def run_bench(
    graph_folder: str | os.PathLike[str] | None = None, *, edges: int = GOWALLA_EDGES, repeats: int = 5
) -> list[Row]:
    """Time training, attention, building and ranking on the CPU, ours and the peer's in turn, at the same thread count.

    With E directed edges, N nodes and W floats a vector, ``floor_s`` counts each array that the work reads or writes
    once: S = 4E + 8N bytes for the edges, V = 4NW for a vector a node.

    - LightGCN step of K layers: 2K products that read S and V and write V; Adam reads 4 V and writes 3 V.
    - attention layer, additive: S twice and 11 V (forward: input read, projection written and read, output written;
      backward: gradient, output and projection read, its gradient written and read, input read, its gradient written).
    - attention layer, dot: S twice and 6 V (the same without the projection).
    - building: the pairs read (4E), columns, types and values (12E) and row pointers (8N) written.
    - ranking: vectors read and lists written, or 2 · users · items · W operations, whichever takes longer.

    The bytes are divided by the bandwidth of a triad a = b + 2c over arrays of 128 MB, the operations by the speed of
    a product of two 2048 × 2048 matrices, each the best of five in this run.

    Args:
        graph_folder: a graph folder whose interactions to use; None draws a power-law graph of Gowalla's proportions.
        edges: directed edges of the drawn graph, at least 100.
        repeats: timed calls, after one that is not timed; the median counts.

    Returns:
        Rows ``{"work", "ours_s", "peer", "peer_s", "ratio", "floor_s", "ours_mb", "peer_mb"}``. The peer's are None
        where there is none. The last two stand in the attention rows alone: how far the first call in a process of its
        own raises that process's memory, None where the system does not say (outside Linux).

    Raises:
        DataError: the graph folder is foreign or damaged.
    """
    folder = None if graph_folder is None else os.fspath(graph_folder)
    pairs = draw_pairs(edges) if folder is None else read_pairs(folder)
    machine = measure_machine()
    memory = {name: measured_apart(name, folder, edges) for name in ("additive", "dot", "peer")}
    return [
        _step(pairs, machine, repeats),
        *_attention(pairs, machine, repeats, memory),
        _building(pairs, machine, repeats),
        _ranking(pairs, machine, repeats),
    ]


def _step(pairs: Pairs, machine: Machine, repeats: int) -> Row:
    ours, peer = times([our_step(pairs), peer_step(pairs)], repeats)
    edges, vectors = _sizes(pairs)
    floor = machine.floor(2 * LAYERS * (edges + 2 * vectors) + 7 * vectors)
    work = f"LightGCN training step: {LAYERS} layers, width {WIDTH}, batch {BATCH}, BPR, sampling and Adam"
    return _row(work, ours, floor, "PyG LightGCN", peer)


def _attention(pairs: Pairs, machine: Machine, repeats: int, memory: dict[str, float | None]) -> list[Row]:
    additive, dot, peer = times([attention_call(name, pairs) for name in ("additive", "dot", "peer")], repeats)
    edges, vectors = _sizes(pairs)
    shape = f"{HEADS} heads × {WIDTH // HEADS}, forward and backward"
    rows = {
        "additive": _row(
            f"attention layer, additive: {shape}",
            additive,
            machine.floor(2 * edges + 11 * vectors),
            "PyG GATConv",
            peer,
        ),
        "dot": _row(
            f"attention layer, dot, as in gat: {shape}",
            dot,
            machine.floor(2 * edges + 6 * vectors),
            "PyG GATConv",
            peer,
        ),
    }
    return [row | {"ours_mb": memory[name], "peer_mb": memory["peer"]} for name, row in rows.items()]


def _building(pairs: Pairs, machine: Machine, repeats: int) -> Row:
    def ours() -> object:
        return symmetric_normalize(pairs.graph().adjacency)

    def peer() -> object:
        return gcn_norm(pairs.edge_index(), num_nodes=pairs.num_nodes, add_self_loops=False)

    own, theirs = times([ours, peer], repeats)
    floor = machine.floor(16 * 2 * len(pairs.user) + 8 * pairs.num_nodes)
    return _row("building the graph, normalised", own, floor, "PyG to_undirected, gcn_norm", theirs)


def _ranking(pairs: Pairs, machine: Machine, repeats: int) -> Row:
    model = LightGCN(pairs.graph(), EmbeddingSettings(width=WIDTH, layers=LAYERS))
    model.reset(generator_for(0))
    model.eval()
    seen = model.graph.seen
    (ours,) = times([lambda: evaluate(model.score_block, train=seen, test=pairs.test, ks=(K,))], repeats)
    users = int(((pairs.test.degree > 0) & (seen.degree > 0)).sum())
    floor = machine.floor(4 * pairs.num_nodes * WIDTH + 8 * K * users, 2 * users * pairs.num_items * WIDTH)
    return _row(f"ranking all items for {users:,} users, with metrics", ours, floor)


def _row(work: str, ours: list[float], floor: float, peer: str | None = None, theirs: list[float] | None = None) -> Row:
    seconds = median(ours)
    peer_seconds = None if theirs is None else median(theirs)
    ratio = None if peer_seconds is None else peer_seconds / seconds
    return {
        "work": work,
        "ours_s": seconds,
        "peer": peer,
        "peer_s": peer_seconds,
        "ratio": ratio,
        "floor_s": floor,
        "ours_mb": None,
        "peer_mb": None,
    }


def _sizes(pairs: Pairs) -> tuple[int, int]:
    """Bytes S of the edges and V of a vector a node."""
    return 4 * 2 * len(pairs.user) + 8 * pairs.num_nodes, 4 * pairs.num_nodes * WIDTH


__all__ = ["run_bench"]
