"""Judging: metrics of ranked lists, full-ranking evaluation, paired tests."""

from __future__ import annotations

from graphrec.evaluation.evaluator import Evaluation, evaluate
from graphrec.evaluation.significance import compare, paired_test

__all__ = ["Evaluation", "compare", "evaluate", "paired_test"]
