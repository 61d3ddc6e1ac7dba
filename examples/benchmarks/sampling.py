"""Edges that the neighbour sampler draws a second, on graphs up to 100 million interactions, as a table.

    python examples/benchmarks/sampling.py

Each graph is a drawn one: users and items whose share of the interactions falls as rank^-0.375, 20 interactions a user
and 100 an item, every interaction an edge in both directions. A call takes the users and items of 1,024 random
interactions, all edges between these taken out, and draws 10 edges of each node at both of two hops, on one thread;
numbering the nodes it meets is part of it. The median of some calls counts, each with new interactions, in the
thread's processor time, so that what else runs on the machine slows it through caches and memory alone.

PyTorch Geometric's sampler, the one inside its NeighborLoader, is called in turn on the same seeds where torch-sparse
and torch-scatter are installed; with pyg-lib beside them it uses that. It takes no edges out, and its second hop leaves
the seeds alone, so that it draws fewer edges: compare edges a second. The table goes to stdout, as Markdown. 100
million interactions take 4 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.sampling import NeighborSampler
from graphrec.sparse import CSR

SIZES = (1_000_000, 10_000_000, 100_000_000)
FANOUT, BATCH, SKEW = (10, 10), 1024, 1.6
UNTIMED = 3  # calls that compile and fill caches
Draw = Callable[[Tensor, tuple[Tensor, Tensor], int], int]
Row = dict[str, Any]


def draw_graph(interactions: int, seed: int = 0) -> HeteroGraph:
    """Distinct interactions as a graph, made by sorting one number for each of them, which takes little memory."""
    num_users, num_items = max(interactions // 20, 200), max(interactions // 100, 200)
    key = _draw_keys(interactions, num_users, num_items, np.random.default_rng(seed))
    user, item = (part.astype(np.int32) for part in np.divmod(key, num_items))
    key = item.astype(np.int64) * num_users + user
    key.sort()
    degree = np.concatenate([np.bincount(part, minlength=n) for part, n in ((user, num_users), (item, num_items))])
    item += num_users
    col = np.concatenate([item, (key % num_users).astype(np.int32)])
    kind = np.repeat(np.array([1, 0], np.int32), interactions)  # users come first, and receive from items
    rowptr = np.concatenate([[0], np.cumsum(degree)])
    csr = CSR(*(torch.from_numpy(part) for part in (rowptr, col)), len(degree), torch.from_numpy(kind))
    return HeteroGraph(num_users, num_items, 0, csr.known_symmetric(), ("interacts", "rev_interacts"))


def _draw_keys(count: int, num_users: int, num_items: int, random: np.random.Generator) -> np.ndarray:
    """Distinct numbers user · I + item, sorted."""
    orders = [random.permutation(size) for size in (num_users, num_items)]
    key = np.empty(0, np.int64)
    while len(key) < count:
        more = np.empty((count - len(key)) * 51 // 50 + 100, np.int64)
        for part in np.array_split(more, len(more) // 2**22 + 1):  # views, small enough to take little memory
            user, item = (order[(len(order) * random.random(len(part)) ** SKEW).astype(np.int64)] for order in orders)
            part[:] = user * num_items + item
        key = np.concatenate([key, more])
        key.sort()
        key = key[np.diff(key, prepend=-1) > 0]
    return np.delete(key, random.choice(len(key), len(key) - count, replace=False))


def ours(graph: HeteroGraph) -> Draw:
    """Draws a batch, returns the number of its edges."""
    sampler = NeighborSampler(graph, FANOUT)

    def draw(seeds: Tensor, pairs: tuple[Tensor, Tensor], seed: int) -> int:
        return sum(hop.csr.num_edges for hop in sampler.sample(seeds, seed=seed, removed=pairs).hops)

    return draw


def peer_name() -> str | None:
    """What PyG would sample with; None if what it needs is not installed."""
    if not (find_spec("torch_sparse") and find_spec("torch_scatter")):
        return None
    return "PyG, pyg-lib" if find_spec("pyg_lib") else "PyG, torch-sparse"


def peer(graph: HeteroGraph) -> Draw | None:
    """The same by PyG's sampler, if it can sample here."""
    if peer_name() is None:
        return None
    from torch_geometric.data import Data
    from torch_geometric.sampler import NeighborSampler as PygSampler
    from torch_geometric.sampler import NodeSamplerInput
    from torch_geometric.typing import SparseTensor

    size = (graph.num_nodes, graph.num_nodes)
    adjacency = SparseTensor(
        rowptr=graph.adjacency.rowptr,
        col=graph.adjacency.col.long(),
        sparse_sizes=size,
        is_sorted=True,
        trust_data=True,
    )
    sampler = PygSampler(Data(adj_t=adjacency, num_nodes=graph.num_nodes), list(FANOUT))

    def draw(seeds: Tensor, pairs: tuple[Tensor, Tensor], seed: int) -> int:
        return len(sampler.sample_from_nodes(NodeSamplerInput(None, seeds)).row)

    return draw


def draw_seeds(graph: HeteroGraph, random: np.random.Generator) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The distinct users and items of a batch of interactions, and these."""
    adjacency = graph.adjacency
    stop = int(adjacency.rowptr[graph.num_users])  # users come first, so their edges are the interactions
    chosen = torch.from_numpy(random.choice(stop, min(BATCH, stop // 2), replace=False, shuffle=False))
    user, item = torch.searchsorted(adjacency.rowptr, chosen, right=True) - 1, adjacency.col[chosen].long()
    return torch.cat([user, item]).unique(), (user, item)


def measure(interactions: int, calls: int) -> Row:
    """One row of the table."""
    start = time.perf_counter()
    graph = draw_graph(interactions)
    drawn = time.perf_counter() - start
    draws = {name: draw for name, draw in (("graphrec", ours(graph)), ("peer", peer(graph))) if draw is not None}
    edges: dict[str, list[int]] = {name: [] for name in draws}
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    random = np.random.default_rng(1)
    for call in range(calls + UNTIMED):
        seeds, pairs = draw_seeds(graph, random)
        for name, draw in draws.items():
            start = time.thread_time()
            edges[name].append(draw(seeds, pairs, call))
            seconds[name].append(time.thread_time() - start)
    row: Row = {"interactions": interactions, "nodes": graph.num_nodes, "graph_s": drawn, "peer": peer_name()}
    for name in ("graphrec", "peer"):
        row[f"{name}_edges"] = median(edges[name][UNTIMED:]) if name in draws else None
        row[f"{name}_s"] = median(seconds[name][UNTIMED:]) if name in draws else None
        row[f"{name}_edges_per_s"] = row[f"{name}_edges"] / row[f"{name}_s"] if name in draws else None
    print(f"measured {interactions:,} interactions", file=sys.stderr, flush=True)
    return row | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def show(table: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| interactions | nodes | edges a batch | ms a batch | million edges/s | peer | its edges | its ms "
        "| its million edges/s | peak memory, MB |",
        "|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in table:
        cells = [f"{row['interactions']:,}", f"{row['nodes']:,}", *_cells(row, "graphrec")]
        cells += [row["peer"] or "not installed", *_cells(row, "peer"), f"{row['peak_mb']:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(row: Row, name: str) -> list[str]:
    if row[f"{name}_s"] is None:
        return ["–"] * 3
    per_second = row[f"{name}_edges_per_s"] / 1e6
    return [f"{row[f'{name}_edges']:,.0f}", f"{1e3 * row[f'{name}_s']:.1f}", f"{per_second:.1f}"]


def main() -> None:
    """Measure each size, smallest first, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, nargs="+", default=SIZES, help="of each graph")
    parser.add_argument("--calls", type=int, default=30, help="timed ones of each size")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = [measure(interactions, options.calls) for interactions in sorted(options.interactions)]
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")
    print(show(table))


if __name__ == "__main__":
    main()
