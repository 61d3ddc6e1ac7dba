"""The spectral view beside its plain form (ARPACK, products in scipy): seconds, peak memory, and whether they agree.

    python examples/benchmarks/spectral.py path/to/graph --users 3000

GRAPH is a folder that ``graphrec build`` wrote. Each form fits on the fit rows and ranks all items for the first
``--users`` users with select rows, in a process of its own with the same number of threads, one after the other; an
import of graphrec is part of both peaks. The settings are those that ChebyCF has on Gowalla. On a machine that others
use, CPU seconds say more than seconds. The table goes to stdout, as Markdown; below it stand the largest difference
between squared singular values and the share of items that both forms' lists have in common.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from graphrec.data import Dataset, Part
from graphrec.evaluation import metrics
from graphrec.graph import HeteroGraph, build_graph
from graphrec.models import Spectral, SpectralSettings
from graphrec.models.spectral import rank_on
from graphrec.ranking import rank
from graphrec.sparse import CSR
from graphrec.training import part_csr

K = 20
CHEBY_CF = SpectralSettings(8, 1.5, 512, 0.2, 0.4, 0.4)
HEAD = "| form | fit, s | its CPU, s | rank, s | its CPU, s | peak, MB | recall@20 | ndcg@20 |"
ROW = "{:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.5f} | {:.5f}"
PLAIN_BLOCK = 1024  # users at once, where each takes a dense column
Scores = Callable[[torch.Tensor], torch.Tensor]


def scipy_matrix(csr: CSR) -> csr_array:
    """The same matrix; edges without values count 1."""
    value = np.ones(csr.num_edges, np.float32) if csr.value is None else csr.value.numpy()
    return csr_array((value, csr.col.numpy(), csr.rowptr.numpy()), shape=(csr.num_rows, csr.num_cols))


class Plain:
    """The docstring of ``Spectral`` in numpy and scipy: three-term recurrence, ARPACK, dense blocks of users."""

    def __init__(self, graph: HeteroGraph, settings: SpectralSettings) -> None:
        self.model = Spectral(graph, settings)  # for its matrices and coefficients; nothing is fitted
        self.used, self.matrix = scipy_matrix(graph.seen), scipy_matrix(self.model.normalized)
        self.turned = self.matrix.T.tocsr()

    def fit(self) -> np.ndarray:
        """The squared singular values, largest first."""
        _, values, vectors = svds(self.matrix, k=rank_on(self.model.graph, self.model.settings), rng=0)
        self.basis = vectors.T.astype(np.float32)
        return values[::-1] ** 2

    def score_block(self, users: torch.Tensor) -> torch.Tensor:
        """Scores [B, I]."""
        settings, degree = self.model.settings, self.model.item_degree.numpy()
        used = self.used[users.numpy()].toarray()
        power = np.maximum(degree, 1) ** settings.degree_power
        ideal_power = np.maximum(degree, 1) ** settings.ideal_degree_power
        filtered = self.polynomial((used / power).T).T * power
        passed = (used / ideal_power) @ self.basis @ self.basis.T * ideal_power
        return torch.from_numpy(filtered + settings.ideal_weight * passed).float()

    def polynomial(self, signal: np.ndarray) -> np.ndarray:
        """Σ c_k T_k(1 − 2 R̃ᵀR̃) of a signal [I, B]."""
        first, *others = self.model.response.coef
        total, before, last = first * signal, signal, signal - 2 * (self.turned @ (self.matrix @ signal))
        for coefficient in others:
            total += coefficient * last
            before, last = last, 2 * last - 4 * (self.turned @ (self.matrix @ last)) - before
        return total


def fit_ours(graph: HeteroGraph, settings: SpectralSettings) -> tuple[np.ndarray, Scores]:
    """Squared singular values, and the scorer."""
    model = Spectral(graph, settings)
    model.fit()
    sent = scipy_matrix(model.normalized) @ model.basis.numpy()
    return (sent**2).sum(axis=0), model.score_block


def fit_plain(graph: HeteroGraph, settings: SpectralSettings) -> tuple[np.ndarray, Scores]:
    """The same of the plain form."""
    plain = Plain(graph, settings)
    return plain.fit(), plain.score_block


FORMS = {"graphrec": fit_ours, "ARPACK and scipy": fit_plain}


def work(form: str, folder: Path, users: int, out: Path) -> None:
    """Fit and rank in one form; write seconds, metrics, squared singular values and lists."""
    dataset = Dataset.load(folder)
    graph, judge = build_graph(dataset, (Part.FIT,)), part_csr(dataset, Part.SELECT)
    chosen = ((judge.degree > 0) & (graph.seen.degree > 0)).nonzero()[:users, 0]
    clocks = [(time.perf_counter(), time.process_time())]
    values, score = FORMS[form](graph, CHEBY_CF)
    clocks.append((time.perf_counter(), time.process_time()))
    block = None if form == "graphrec" else PLAIN_BLOCK
    items = rank(score, chosen, K, num_items=graph.num_items, seen=graph.seen, block_size=block).items
    clocks.append((time.perf_counter(), time.process_time()))
    seconds = np.diff(clocks, axis=0).ravel()
    hits = metrics.hit_matrix(items, judge.take_rows(chosen))
    judged = [of(hits, judge.degree[chosen], K).mean() for of in (metrics.recall, metrics.ndcg)]
    np.savez(out, values=values, items=items, seconds=seconds, judged=judged)


def measure(form: str, options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """What ``work`` wrote in a process of its own, and that process's peak MB."""
    command = [
        sys.executable,
        __file__,
        str(options.graph),
        f"--users={options.users}",
        "--form",
        form,
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{form} failed")
    with np.load(out) as written:
        return dict(written) | {"peak_mb": usage.ru_maxrss / 1024}


def show(found: dict[str, dict[str, Any]]) -> str:
    """The table and what both forms agree in."""
    lines = [HEAD, "|---" + "|---:" * 7 + "|"]
    for form, own in found.items():
        numbers = ROW.format(*own["seconds"], own["peak_mb"], *own["judged"])
        lines.append(f"| {form} | {numbers} |")
    ours, plain = found.values()
    largest = np.abs(ours["values"] - plain["values"]).max()
    common = np.mean([len(np.intersect1d(*pair)) / K for pair in zip(ours["items"], plain["items"], strict=True)])
    return "\n".join([*lines, "", f"squared singular values differ by {largest:.1e}; lists share {common:.2%}"])


def main() -> None:
    """Measure both forms in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="folder that graphrec build wrote")
    parser.add_argument("--users", type=int, default=3000, help="users to rank for")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        work(options.form, options.graph, options.users, options.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {form: measure(form, options, Path(folder) / f"{place}.npz") for place, form in enumerate(FORMS)}
    print(show(found))


if __name__ == "__main__":
    main()
