"""The baselines that stand beside every result."""

from __future__ import annotations

from graphrec.evaluation.evaluator import Evaluation, evaluate
from graphrec.graph import HeteroGraph
from graphrec.models import build_model, make_settings
from graphrec.sparse import CSR

BASELINES = ("popularity", "item_knn")


def evaluate_baselines(
    graph: HeteroGraph, *, test: CSR, ks: tuple[int, ...], negatives: CSR | None = None
) -> dict[str, Evaluation]:
    """Popularity and ItemKNN, with their default settings, on the same rows as the model beside them.

    Args:
        graph: holds all training rows.
        test: CSR [U, I] of held-out rows.
        ks: list lengths.
        negatives: CSR [U, I] of pairs labelled as no interaction.
    """
    found = {}
    for name in BASELINES:
        model = build_model(name, graph, {name: make_settings(name, {})})
        model.fit()
        found[name] = evaluate(model.score_block, train=graph.seen, test=test, ks=ks, negatives=negatives)
    return found
