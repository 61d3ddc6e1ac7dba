"""The memory of one attention layer, measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from graphrec.bench.measure import extra_megabytes
from graphrec.bench.pairs import draw_pairs, read_pairs
from graphrec.bench.work import attention_call


def measured_apart(name: str, graph_folder: str | None, edges: int) -> float | None:
    """``extra_megabytes`` of the first call of ``attention_call(name, …)``, in a new process.

    That process compiles on a small graph first. It gives every freed array of 64 KB or more back to the system at
    once, so that no call can live on what was freed before it.
    """
    code = f"from graphrec.bench.memory import measure_here; measure_here({name!r}, {graph_folder!r}, {edges})"
    threads = str(torch.get_num_threads())
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | settings, stdout=subprocess.PIPE, check=True)
    found: float | None = json.loads(done.stdout)
    return found


def measure_here(name: str, graph_folder: str | None, edges: int) -> None:
    """What the new process runs; it prints the megabytes as JSON."""
    attention_call(name, draw_pairs(200))()
    pairs = draw_pairs(edges) if graph_folder is None else read_pairs(graph_folder)
    sys.stdout.write(json.dumps(extra_megabytes(attention_call(name, pairs))))
