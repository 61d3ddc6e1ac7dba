"""How fast graphrec is on this machine, beside PyTorch Geometric and beside what the machine allows."""

from __future__ import annotations

from os import PathLike
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

LISTED = 20


def run_bench(
    graph_folder: str | os.PathLike[str] | None = None, *, edges: int = GOWALLA_EDGES, repeats: int = 5
) -> list[dict[str, Any]]:
    """Time training, attention, building and ranking, on the CPU.

    ``floor_s`` counts each array that the work must read or write once, 4 bytes a number: S = 4E + 8N for the edges,
    V = 4NW for a vector a node.

    - LightGCN step: 2K products of one reading of S and V and one writing of V; Adam reads four V and writes three.
    - attention layer: forward and backward each read S; with the projection 11 V (forward: input, projection written,
      read, output; backward: gradient, output, projection, its gradient written, read, input, its gradient written);
      without it 6 V.
    - building: the pairs read, columns, types and values written (12E), row pointers written (8N).
    - ranking: the vectors read and the lists written, or 2 · users · items · W operations if those take longer.

    Bandwidth is the best of five triads a = b + 2c over arrays of 128 MB, arithmetic the best of five products of two
    2048 × 2048 matrices, in the same run.

    Args:
        graph_folder: a graph folder whose interactions to use; None draws a power-law graph with Gowalla's proportions.
        edges: directed edges of the drawn graph, ≥ 100.
        repeats: timed calls of each, after one that is not timed; the median counts.

    Returns:
        Rows ``{"work", "ours_s", "peer", "peer_s", "ratio", "floor_s"}``; the peer's are None where there is none. The
        attention rows have ``ours_mb`` and ``peer_mb`` besides: how far a first call in a process of its own raises that
        process's memory (None where the system does not say, that is, outside Linux).
    """
    pairs = _read_pairs(Path(graph_folder)) if graph_folder is not None else draw_pairs(edges)
    machine = measure_machine()
    rows = [_step_row(pairs, machine, repeats)]
    memory = {name: _measured_apart(name, graph_folder, edges) for name in ("additive", "dot", "peer")}
    rows += _attention_rows(pairs, machine, repeats, memory)
    rows += [_build_row(pairs, machine, repeats), _ranking_row(pairs, machine, repeats)]
    return rows


def _step_row(pairs: Pairs, machine: Machine, repeats: int) -> dict[str, Any]:
    edges, vectors = _sizes(pairs)
    times = _times([our_step(pairs), peer_step(pairs)], repeats)
    floor = machine.floor(2 * LAYERS * (edges + 2 * vectors) + 7 * vectors)
    work = f"LightGCN training step, {LAYERS} layers, width {WIDTH}, batch {BATCH}"
    return _row(work, median(times[0]), floor, "torch_geometric LightGCN", median(times[1]))


def _attention_rows(
    pairs: Pairs, machine: Machine, repeats: int, memory: dict[str, float | None]
) -> list[dict[str, Any]]:
    edges, vectors = _sizes(pairs)
    times = _times([attention_call(name, pairs) for name in ("additive", "dot", "peer")], repeats)
    ours = {"additive": ("additive score as GATConv", 11), "dot": ("dot score of gat", 6)}
    shape = f"{HEADS} heads × {WIDTH // HEADS}, forward and backward"
    rows = []
    for (name, (words, passes)), own in zip(ours.items(), times, strict=False):
        floor = machine.floor(2 * edges + passes * vectors)
        row = _row(
            f"attention layer, {words}, {shape}", median(own), floor, "torch_geometric GATConv", median(times[2])
        )
        rows.append(row | {"ours_mb": memory[name], "peer_mb": memory["peer"]})
    return rows


def _build_row(pairs: Pairs, machine: Machine, repeats: int) -> dict[str, Any]:
    times = _times(
        [
            lambda: symmetric_normalize(pairs.graph().adjacency),
            lambda: gcn_norm(pairs.edge_index(), add_self_loops=False),
        ],
        repeats,
    )
    floor = machine.floor(8 * len(pairs.user) + 24 * len(pairs.user) + 8 * (pairs.num_users + pairs.num_items))
    peer = "torch_geometric to_undirected + gcn_norm"
    return _row("build the graph and normalise it", median(times[0]), floor, peer, median(times[1]))


def _ranking_row(pairs: Pairs, machine: Machine, repeats: int) -> dict[str, Any]:
    model = LightGCN(pairs.graph(), EmbeddingSettings(width=WIDTH, layers=LAYERS))
    model.reset(generator_for(0))
    model.eval()
    own = _times([lambda: evaluate(model.score_block, train=model.graph.seen, test=pairs.test)], repeats)[0]
    judged = int(((pairs.test.degree > 0) & (model.graph.seen.degree > 0)).sum())
    floor = machine.floor(_sizes(pairs)[1] + 8 * 20 * judged, 2.0 * judged * pairs.num_items * WIDTH)
    return _row(f"rank all items for {judged:,} users and judge the lists", median(own), floor)


def _row(work: str, ours: float, floor: float, peer: str | None = None, theirs: float | None = None) -> dict[str, Any]:
    ratio = None if theirs is None else theirs / ours
    return {"work": work, "ours_s": ours, "peer": peer, "peer_s": theirs, "ratio": ratio, "floor_s": floor}


def _sizes(pairs: Pairs) -> tuple[float, float]:
    """Bytes S of the edges and V of a vector a node."""
    nodes = pairs.num_users + pairs.num_items
    return 8.0 * len(pairs.user) + 8 * nodes, 4.0 * nodes * WIDTH


__all__ = ["run_bench"]
