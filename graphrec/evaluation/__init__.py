"""Judging: metrics of ranked lists, full-ranking evaluation, paired tests."""

from __future__ import annotations

from graphrec.evaluation.evaluator import Evaluation, evaluate, keep_rare
from graphrec.evaluation.pairs import pair_scores
from graphrec.evaluation.significance import compare, holm, paired_test

__all__ = ["Evaluation", "compare", "evaluate", "holm", "keep_rare", "pair_scores", "paired_test"]
