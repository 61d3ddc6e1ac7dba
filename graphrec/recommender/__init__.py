"""The public face of a trained model: the caller's own ids in, the caller's own ids out."""

from __future__ import annotations

from graphrec.recommender.batch import Advance, Written
from graphrec.recommender.cells import write_csv
from graphrec.recommender.face import Recommender
from graphrec.recommender.making import load, train

__all__ = ["Advance", "Recommender", "Written", "load", "train", "write_csv"]
