"""graphrec: recommendations from a graph of users, items and knowledge, accurate, fast and explained.

Names are imported when first used, so that reading tables never waits for torch.

>>> import graphrec
>>> world = graphrec.synthetic.generate(seed=7, num_users=60, num_items=40)
>>> data = graphrec.read_dataset(world.interactions, knowledge=world.knowledge, items=world.items)
>>> recommender = graphrec.train(data, model="gat", epochs=2, width=8, heads=2, seed=1)
>>> recommender.recommend(["alice"], k=3).columns.tolist()
['user_id', 'item_id', 'score', 'rank']
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphrec.data import Dataset, build_dataset, read_dataset, synthetic
    from graphrec.errors import GraphrecError
    from graphrec.graph import HeteroGraph, build_graph
    from graphrec.recommender import Recommender, load, train

__version__ = "0.1.0"

# OpenMP reads this when torch is loaded: idle threads then sleep. Spinning, they take the cores that graphrec's own
# threads and other programs need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = [
    "Dataset",
    "GraphrecError",
    "HeteroGraph",
    "Recommender",
    "build_dataset",
    "build_graph",
    "load",
    "read_dataset",
    "synthetic",
    "train",
]

_HOME = {
    "Dataset": "graphrec.data",
    "GraphrecError": "graphrec.errors",
    "HeteroGraph": "graphrec.graph",
    "Recommender": "graphrec.recommender",
    "build_dataset": "graphrec.data",
    "build_graph": "graphrec.graph",
    "load": "graphrec.recommender",
    "read_dataset": "graphrec.data",
    "synthetic": "graphrec.data",
    "train": "graphrec.recommender",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'graphrec' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
