"""Models that fail on data at the edge of what there is: one user, one item, nothing known of somebody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models import EmbeddingSettings
from tests.testing.toys import FAULTS, Toy, breaks


def lost_where(condition: Callable[[HeteroGraph], Any]) -> type:
    """A model whose scores are no numbers on some graphs."""

    class Lost(Toy):
        def score_block(self, users: Tensor) -> Tensor:
            return super().score_block(users) * (torch.nan if bool(condition(self.whole)) else 1)

        def __init__(self, graph: HeteroGraph, settings: EmbeddingSettings) -> None:
            super().__init__(graph, settings)
            self.whole = graph

    return Lost


FAULTS |= {
    "one_user": lost_where(lambda graph: graph.num_users == 1),
    "an_item_nobody_has_used": lost_where(lambda graph: (graph.seen.transpose[0].degree == 0).any()),
    "a_user_of_nothing": lost_where(lambda graph: (graph.seen.degree == 0).any()),
    "a_user_of_everything": lost_where(lambda graph: (graph.seen.degree == graph.num_items).any()),
    "no_knowledge": lost_where(lambda graph: graph.num_relations == 2),
}


@breaks("one_item")
class NeedsTwoItems(Toy):
    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.second = torch.arange(graph.num_items)[1]


@breaks("as_a_view")
class Solitary(Toy):
    def user_vectors(self) -> Tensor:
        return super().user_vectors() * torch.nan

    def score_block(self, users: Tensor) -> Tensor:
        return super().user_vectors()[users] @ self.item_vectors().T
