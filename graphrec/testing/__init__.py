"""The contract that every model shares, as checks to run on one's own."""

from __future__ import annotations

from graphrec.testing.contract import Checked, check_recommender

__all__ = ["Checked", "check_recommender"]
