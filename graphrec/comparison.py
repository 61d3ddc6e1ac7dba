"""Finished runs judged on their test rows, beside the baselines and against each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from os import PathLike
from pathlib import Path
from typing import Any

from graphrec.data import Dataset, Part
from graphrec.evaluation import Evaluation, compare
from graphrec.evaluation.baselines import evaluate_baselines
from graphrec.graph import build_graph
from graphrec.recommender import load
from graphrec.runs import record_test, writing
from graphrec.training import TRAIN_PARTS, negatives_csr, part_csr

PAIRED = ("recall@20", "ndcg@20")


def evaluate_runs(folders: Sequence[str | PathLike[str]], ks: tuple[int, ...] = (10, 20)) -> dict[str, Any]:
    """Judge runs by full ranking of their test rows and write what was found into their folders.

    Runs on the same rows are compared pair by pair, user by user, and every run is compared with its baselines.

    Args:
        folders: run folders.
        ks: list lengths.

    Returns:
        ``{"runs": [{"run", "model", "users", "left_out", "test", "baselines"}], "paired": [{"a", "b", "metric", …}]}``.

    Raises:
        RunError: a folder holds no finished run, or another process writes it.
        OutputError: a folder cannot be written.
        DataError: a run has no test rows.
    """
    judged: dict[str, Evaluation] = {}
    rows: dict[str, str] = {}
    baselines: dict[str, dict[str, Evaluation]] = {}
    runs = []
    for folder in map(str, folders):
        recommender = load(folder)
        with writing(Path(folder)):
            found, key = recommender.evaluate(ks), recommender.dataset.fingerprint()
            if key not in baselines:
                baselines[key] = _baselines(recommender.dataset, ks)
            beside = {name: evaluation.metrics for name, evaluation in baselines[key].items()}
            record_test(Path(folder), found.metrics, beside, found.per_user)
        judged[folder], rows[folder] = found, key
        about = {
            "run": folder,
            "model": recommender.model.name,
            "users": found.num_users,
            "left_out": found.num_left_out,
        }
        runs.append(about | {"test": found.metrics, "baselines": beside})
    pairs = [(a, b, judged[a], judged[b]) for a, b in combinations(judged, 2) if rows[a] == rows[b]]
    pairs += [(run, name, judged[run], other) for run in judged for name, other in baselines[rows[run]].items()]
    paired = [
        {"a": a, "b": b, "metric": metric, **compare(first.per_user, second.per_user, metric)}
        for a, b, first, second in pairs
        for metric in PAIRED
        if metric in first.metrics
    ]
    return {"runs": runs, "paired": paired}


def _baselines(dataset: Dataset, ks: tuple[int, ...]) -> dict[str, Evaluation]:
    graph = build_graph(dataset, TRAIN_PARTS, knowledge=False)
    test, negatives = part_csr(dataset, Part.TEST), negatives_csr(dataset, Part.TEST)
    return evaluate_baselines(graph, test=test, ks=ks, negatives=negatives)
