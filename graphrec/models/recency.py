"""Newer items count more: what is needed again fades like a power of the time since.

B histories, I items, U users, E pairs of a user and an item, W width. Anderson & Schooler 1991, *Reflections of the
environment in memory*; departure: a power of how many items came since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models.base import check_setting, searched
from graphrec.models.timeline import has_times, older
from graphrec.sparse import CSR, segment_sum, spmm


@dataclass(frozen=True, kw_only=True)
class RecencySettings:
    """What every model shares that can let newer items count more.

    Args:
        recency: ρ ≥ 0; an item that n of the user's others are newer than counts (1 + n)^−ρ. At 0 all count alike; more
            needs timestamps.
    """

    recency: float = searched(0.0, choices=(0.0, 0.25, 0.5, 1.0, 1.5))

    def __post_init__(self) -> None:
        check_setting("recency", self.recency, self.recency >= 0, ">= 0")


def recency_obstacle(graph: HeteroGraph, settings: Any) -> str | None:
    """Why a graph has no newer items, where some are to count more."""
    return "recency needs timestamps, and the data has none" if settings.recency > 0 and not has_times(graph) else None


def in_order(graph: HeteroGraph, recency: float) -> CSR:
    """What everybody has used, [U, I], for ``recency`` > 0 with places in the order of use for values.

    Items of one time have one place, and those of an unknown time the first.
    """
    seen, times = graph.seen, graph.times
    return seen if recency == 0 or times is None else seen.with_value(older(seen, times).float())


def recency_weight(history: CSR, recency: float) -> Tensor:
    """What each item of some histories counts: (1 + n)^−ρ, n of the person's items being newer.

    Args:
        history: [B, I]; its values, where it has some, are places in the order of use; without them all count 1.
        recency: ρ.

    Returns:
        float32 [E].

    >>> history = CSR.from_pairs(torch.tensor([0, 0, 0]), torch.tensor([1, 2, 4]), 1, 5, value=torch.tensor([0, 7, 7]))
    >>> recency_weight(history, 1.0)
    tensor([0.3333, 1.0000, 1.0000])
    """
    if history.value is None or recency == 0:
        return torch.ones(history.num_edges, device=history.device)
    return (1.0 + older(history, -history.value)) ** -recency


def recent_mean(history: CSR, recency: float, item_vectors: Tensor) -> Tensor:
    """The mean of what each person has used, each item as much as it counts; 0 for nothing.

    Args:
        history: [B, I], as ``recency_weight`` takes it.
        recency: ρ.
        item_vectors: float32 [I, W].

    Returns:
        float32 [B, W].
    """
    weight = recency_weight(history, recency)
    total = segment_sum(history, weight)
    return spmm(history.with_value(weight), item_vectors) / total.where(total > 0, 1.0)[:, None]


def added_to_mean(history: CSR, recency: float, item_vectors: Tensor, item: int) -> Tensor:
    """What each used item of one person adds to ⟨``recent_mean``, the vector of an item⟩, float32 [n]."""
    weight = recency_weight(history, recency)
    return weight / weight.sum() * (item_vectors[history.col.long()] @ item_vectors[item])
