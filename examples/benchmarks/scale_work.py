"""Work that scale.py measures and no command does by itself: sampling, a number of training steps, inference.

    python examples/benchmarks/scale_work.py sample graph/ --count 200
    python examples/benchmarks/scale_work.py train graph/ --count 200 --out run/
    python examples/benchmarks/scale_work.py infer run/ --out vectors/

Prints one JSON object. Graph folders are what ``graphrec build`` makes, run folders what training makes.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from graphrec.config import make_config
from graphrec.data import Dataset
from graphrec.graph import HeteroGraph, build_graph
from graphrec.models import build_model
from graphrec.runs import Run, finish_run, load_run, start_run
from graphrec.sampling import NeighborSampler, generator_for
from graphrec.training import Epoch, Trainer, infer_vectors

PAIRS = 1024  # of a batch
FANOUT = (10, 10)
WARM_UP = 3  # batches before the clock starts: compiled code is loaded, pages are touched

Figures = dict[str, float]


def open_graph(folder: Path) -> HeteroGraph:
    """The propagation graph of a graph folder's fit rows."""
    return build_graph(Dataset.load(folder))


def draw_pairs(graph: HeteroGraph, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Users and items, as nodes, of some interactions of the graph: int64 [PAIRS] each."""
    rowptr = graph.adjacency.rowptr[: graph.num_users + 1]  # a user's edges lead to items, but for facts about users
    edge = torch.randint(int(rowptr[-1]), (PAIRS,), generator=generator_for(1, step))
    return torch.searchsorted(rowptr, edge, right=True) - 1, graph.adjacency.col[edge].long()


def sample(folder: Path, batches: int) -> Figures:
    """Sample around batches of pairs, their own edges removed, on one thread; relabelling is part of it.

    Args:
        folder: a graph folder of interactions alone.
        batches: that count.
    """
    torch.set_num_threads(1)
    graph = open_graph(folder)
    sampler = NeighborSampler(graph, FANOUT)
    seconds, nodes, edges = 0.0, 0, 0
    for step in range(WARM_UP + batches):
        pairs = draw_pairs(graph, step)
        seeds = torch.cat(pairs).unique()
        start = time.perf_counter()
        drawn = sampler.sample(seeds, seed=step, removed=pairs)
        if step >= WARM_UP:
            seconds += time.perf_counter() - start
            nodes += len(drawn.nodes)
            edges += sum(hop.csr.num_edges for hop in drawn.hops)
    return {
        "graph_edges": graph.adjacency.num_edges,
        "seconds_per_step": seconds / batches,
        "nodes_per_step": nodes / batches,
        "seconds_per_node": seconds / nodes,
        "edges_per_second": edges / seconds,
    }


def train_steps(folder: Path, steps: int, out: Path) -> Figures:
    """Train ``gat`` on sampled neighbours for some steps and write a run folder.

    Width 32, 2 heads, softmax loss, batches of PAIRS pairs, FANOUT neighbours; steps before WARM_UP do not count.

    Args:
        folder: a graph folder.
        steps: that count.
        out: the run folder, which ``graphrec export`` and ``graphrec recommend`` read.

    Returns:
        ``steps_per_epoch``, ``seconds_per_step``, ``nodes_per_step`` and ``seconds_per_node``,
        where nodes are the distinct ones of a step's sample.
    """
    dataset = Dataset.load(folder)
    options = {"width": 32, "heads": 2, "loss": "softmax", "batch_size": PAIRS, "fanout": FANOUT}
    config = make_config("gat", sampling="neighbor", seed=1, **options)
    start_run(out, dataset, config)
    model = build_model("gat", build_graph(dataset), config.models)
    trainer = Trainer(model, config.training, seed=config.seed)
    figures = timed_steps(trainer, steps)
    metrics = {"valid": {}, "epochs": {"gat": 0}, "fusion": None}
    history = pd.DataFrame(columns=[field.name for field in fields(Epoch)])
    finish_run(out, Run(dataset, config, model.eval(), metrics, history))
    return figures


def timed_steps(trainer: Trainer, steps: int) -> Figures:
    """Take steps, samples being drawn beside them as in any training, and time those after WARM_UP."""
    trainer.model.train()
    nodes, start = 0, 0.0
    for step, prepared in enumerate(islice(trainer.step.prepared(trainer.batches.epoch(1)), WARM_UP + steps)):
        if step == WARM_UP:
            start = time.perf_counter()
        trainer.step(prepared)
        nodes += len(prepared.nodes) * (step >= WARM_UP)
    seconds = time.perf_counter() - start
    return {
        "steps_per_epoch": len(trainer.batches),
        "seconds_per_step": seconds / steps,
        "nodes_per_step": nodes / steps,
        "seconds_per_node": seconds / nodes,
    }


def infer(folder: Path, out: Path) -> Figures:
    """Compute the vectors of all nodes anew, a layer and a block of edges at a time, streamed to disk.

    Args:
        folder: a run folder.
        out: where layers and result go.
    """
    run = load_run(folder)
    start = time.perf_counter()
    edges = run.model.graph.adjacency.num_edges
    made = time.perf_counter()
    vectors = infer_vectors(run.model, out)
    with (out / "vectors.npy").open("wb") as file:
        np.save(file, vectors.numpy())
    return {"graph_seconds": made - start, "infer_seconds": time.perf_counter() - made, "graph_edges": edges}


def main() -> None:
    """Do one piece of work and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("sample", "train", "infer"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200, help="batches or steps that count")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder to write")
    options = parser.parse_args()
    if options.work == "sample":
        figures = sample(options.folder, options.count)
    elif options.work == "train":
        figures = train_steps(options.folder, options.count, options.out)
    else:
        figures = infer(options.folder, options.out)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
