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


def _measured_apart(name: str, graph_folder: str | os.PathLike[str] | None, edges: int) -> float | None:
    """``extra_megabytes`` of one attention layer in a process of its own, which gives freed arrays back at once."""
    folder = None if graph_folder is None else os.fspath(graph_folder)
    code = f"from graphrec import bench; bench._measure_here({name!r}, {folder!r}, {edges})"
    threads = str(torch.get_num_threads())
    environment = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "OMP_NUM_THREADS": threads,
        "NUMBA_NUM_THREADS": threads,
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found: float | None = json.loads(done.stdout)
    return found


def _measure_here(name: str, graph_folder: str | None, edges: int) -> None:
    """What the other process runs: compile on a small graph, then call once on the whole one."""
    attention_call(name, draw_pairs(200))()
    pairs = draw_pairs(edges) if graph_folder is None else _read_pairs(Path(graph_folder))
    sys.stdout.write(json.dumps(extra_megabytes(attention_call(name, pairs))))
