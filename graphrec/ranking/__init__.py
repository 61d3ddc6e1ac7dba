"""Exact top-k, block by block: the one place where items are put in order."""

from __future__ import annotations

from graphrec.ranking.blocks import Ranking, entries, rank, topk_rows
from graphrec.ranking.tiles import rank_vectors

__all__ = ["Ranking", "entries", "rank", "rank_vectors", "topk_rows"]
