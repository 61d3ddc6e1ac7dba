"""How fast graphrec is on this machine, beside PyTorch Geometric and beside what the machine allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from graphrec.bench.measure import Call, Machine, measure_machine, times
from graphrec.bench.memory import measured_apart
from graphrec.bench.pairs import GOWALLA_EDGES, Pairs, draw_pairs, read_pairs
from graphrec.bench.work import (
    BUILDING,
    HALF_STEP,
    HEADS,
    LAYERS,
    STEP,
    WIDTH,
    attention_call,
    our_building,
    our_step,
    peer_building,
    peer_step,
)
from graphrec.evaluation import evaluate
from graphrec.models import LightGCN, LightGCNSettings
from graphrec.sampling import generator_for

Row = dict[str, Any]
K = 20

# our layer → what it is called, PyG's layer beside it, and how many arrays of a vector a node are read and written
ATTENTION = {
    "additive": ("additive", "GATConv", 11),
    "v2": ("v2", "GATv2Conv", 16),
    "dot": ("dot, as in gat", "GATConv", 6),
}


def run_bench(
    graph_folder: str | os.PathLike[str] | None = None,
    *,
    edges: int = GOWALLA_EDGES,
    repeats: int = 5,
    peer: bool = True,
) -> list[Row]:
    """Time training, attention, building and ranking on the CPU, ours and the peer's in turn, at the same thread count.

    With E directed edges, N nodes and W floats a vector, ``floor_s`` counts each array that the work reads or writes
    once: S = 4E + 8N bytes for the edges, V = 4NW for a vector a node.

    - LightGCN step of K layers: 2K products that read S and V and write V; Adam reads 4 V and writes 3 V.
    - the same with bfloat16 between layers: 2K products over V/2 both ways, the table read and its gradient written
      in float32, 2 V more; Adam as before.
    - attention layer, additive: S twice and 11 V (forward: input read, projection written and read, output written;
      backward: gradient, output and projection read, its gradient written and read, input read, its gradient written).
    - attention layer, v2: S twice and 16 V (the same with two projections, one for queries, one for keys and values).
    - attention layer, dot: S twice and 6 V (the same without a projection).
    - building: the pairs read (4E), columns, types and values (12E) and row pointers (8N) written.
    - ranking: vectors read and lists written, or 2 · users · items · W operations, whichever takes longer.

    The bytes are divided by the bandwidth of a triad a = b + 2c over arrays of 128 MB, the operations by the speed of
    a product of two 2048 × 2048 matrices, each the best of five in this run.

    Args:
        graph_folder: a graph folder whose interactions to use; None draws a power-law graph of Gowalla's proportions.
        edges: directed edges of the drawn graph, at least 100.
        repeats: timed calls, each after one that is not timed; the median counts.
        peer: False times ours alone. PyG's attention makes arrays of edges × width, too large for a large graph.

    Returns:
        Rows ``{"work", "ours_s", "peer", "peer_s", "ratio", "ours_mb", "peer_mb", "floor_s"}``. The peer's are None
        where there is none. The megabytes stand in the attention rows alone: how far the first call in a process of its
        own raises that process's memory, None where the system does not say (outside Linux).

    Raises:
        DataError: the graph folder is foreign or damaged.
    """
    folder = None if graph_folder is None else os.fspath(graph_folder)
    pairs = draw_pairs(edges) if folder is None else read_pairs(folder)
    layers = [*ATTENTION, "GATConv", "GATv2Conv"] if peer else [*ATTENTION]
    run = _Run(pairs, measure_machine(), repeats, peer)
    memory = {name: measured_apart(name, folder, edges) for name in layers}
    steps = [_step(run, STEP, "float32"), _step(run, HALF_STEP, "bfloat16")]
    return [*steps, *(_attention(run, name, memory) for name in ATTENTION), _building(run), _ranking(run)]


@dataclass(frozen=True)
class _Run:
    """What the rows of one run share."""

    pairs: Pairs
    machine: Machine
    repeats: int
    peer: bool

    @property
    def edge_bytes(self) -> int:
        """S."""
        return 4 * 2 * len(self.pairs.user) + 8 * self.pairs.num_nodes

    @property
    def vector_bytes(self) -> int:
        """V."""
        return 4 * self.pairs.num_nodes * WIDTH

    def row(
        self, work: str, floor: float, ours: Call, peer: str = "", make_peer: Callable[[], Call] | None = None
    ) -> Row:
        """Ours timed in turn with the peer's, which is made only if it is wanted."""
        theirs = [make_peer()] if self.peer and make_peer else []
        seconds, *others = (median(own) for own in times([ours, *theirs], self.repeats))
        return {
            "work": work,
            "ours_s": seconds,
            "peer": peer if others else None,
            "peer_s": others[0] if others else None,
            "ratio": others[0] / seconds if others else None,
            "ours_mb": None,
            "peer_mb": None,
            "floor_s": floor,
        }


def _step(run: _Run, work: str, precision: str) -> Row:
    vectors = 2 if precision == "float32" else 1  # that a product reads and writes, in float32's bytes
    others = 7 if precision == "float32" else 9
    floor = run.machine.floor(2 * LAYERS * (run.edge_bytes + vectors * run.vector_bytes) + others * run.vector_bytes)
    return run.row(work, floor, our_step(run.pairs, precision), "PyG LightGCN", partial(peer_step, run.pairs))


def _attention(run: _Run, name: str, memory: dict[str, float | None]) -> Row:
    called, peer, vectors = ATTENTION[name]
    floor = run.machine.floor(2 * run.edge_bytes + vectors * run.vector_bytes)
    work = f"attention layer, {called}: {HEADS} heads × {WIDTH // HEADS}, forward and backward"
    ours, make_peer = attention_call(name, run.pairs), partial(attention_call, peer, run.pairs)
    return run.row(work, floor, ours, f"PyG {peer}", make_peer) | {"ours_mb": memory[name], "peer_mb": memory.get(peer)}


def _building(run: _Run) -> Row:
    floor = run.machine.floor(16 * 2 * len(run.pairs.user) + 8 * run.pairs.num_nodes)
    make_peer = partial(peer_building, run.pairs)
    return run.row(BUILDING, floor, our_building(run.pairs), "PyG to_undirected, gcn_norm", make_peer)


def _ranking(run: _Run) -> Row:
    pairs = run.pairs
    model = LightGCN(pairs.graph(), LightGCNSettings(width=WIDTH, layers=LAYERS))
    model.reset(generator_for(0))
    model.eval()
    seen = model.graph.seen
    users = int(((pairs.test.degree > 0) & (seen.degree > 0)).sum())
    floor = run.machine.floor(run.vector_bytes + 8 * K * users, 2 * users * pairs.num_items * WIDTH)
    work = f"ranking all items for {users:,} users, with metrics"
    return run.row(work, floor, lambda: evaluate(model.score_block, train=seen, test=pairs.test, ks=(K,)))


__all__ = ["run_bench"]
