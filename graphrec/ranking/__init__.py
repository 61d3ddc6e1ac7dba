"""Exact top-k, block by block: the one place where items are put in order."""

from __future__ import annotations

from graphrec.ranking.blocks import Ranking, check_nan, entries, rank, topk_rows, users_at_once
from graphrec.ranking.tiles import rank_vectors

__all__ = ["Ranking", "check_nan", "entries", "rank", "rank_vectors", "topk_rows", "users_at_once"]
