"""A model that keeps the contract, and models that break it: one for each check that a model alone can break."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from graphrec.errors import DataError
from graphrec.graph import HeteroGraph
from graphrec.models import LightGCN, LightGCNSettings, Popularity
from graphrec.models.base import searched
from graphrec.sampling import Batch, generator_for
from graphrec.sparse import CSR

Patch = pytest.MonkeyPatch
Fault = type | Callable[[Patch], None]
COUNTER = itertools.count(1)
FAULTS: dict[str, Fault] = {}
"""By check, what it must notice: a model, or a change of what is around it (surroundings.py)."""


class Toy(LightGCN):
    name = "toy"


def breaks(check: str) -> Callable[[Any], Any]:
    def keep(fault: Any) -> Any:
        FAULTS[check] = fault
        return fault

    return keep


# --- how it scores


@breaks("scores_of_a_block")
class Double(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users).double()


@breaks("scores_carry_no_gradient")
class Traced(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        return self.propagate()[users] @ self.item_vectors().T


@breaks("no_users_no_scores")
class NeedsSomebody(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users[: int(users.max()) + 10**6])


@breaks("a_user_alone")
class Relative(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        scores = super().score_block(users)
        return scores - scores.mean(dim=0)


@breaks("order_of_users")
class Sorting(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users.sort().values)


@breaks("scores_repeat")
class Tiring(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users) / next(COUNTER)


@breaks("arguments_stay")
class Writing(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        scores = super().score_block(users)
        users.zero_()
        return scores


@breaks("scoring_changes_nothing")
class Drifting(Toy):
    def fold_in(self, history: CSR) -> Tensor:
        self.table.data += 1
        return super().fold_in(history)


@breaks("the_graph_stays")
class Cutting(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        scores = super().score_block(users)
        self.graph = self.graph.without_edges(self.graph.adjacency.row_index()[:1], self.graph.adjacency.col[:1])
        return scores


@breaks("vectors_give_the_scores")
class Mirrored(Toy):
    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.user_vectors(), -self.item_vectors()


@breaks("newcomers")
class DoubleForNewcomers(Toy):
    def fold_in(self, history: CSR) -> Tensor:
        return super().fold_in(history).double()


@breaks("newcomers_of_nothing")
class PerItem(Toy):
    def fold_in(self, history: CSR) -> Tensor:
        return super().fold_in(history) / history.degree[:, None]


@breaks("no_newcomers")
class NeedsANewcomer(Toy):
    def fold_in(self, history: CSR) -> Tensor:
        return super().fold_in(history) * (history.degree.max() >= 0)


@breaks("a_newcomer_alone")
class RelativeForNewcomers(Toy):
    def fold_in(self, history: CSR) -> Tensor:
        scores = super().fold_in(history)
        return scores - scores.mean(dim=0)


@breaks("likeness_of_items")
class DoubleLikeness(Toy):
    def similarity_block(self, items: Tensor) -> Tensor:
        return super().similarity_block(items).double()


@breaks("an_item_is_most_like_itself")
class Unlike(Toy):
    def similarity_block(self, items: Tensor) -> Tensor:
        return -super().similarity_block(items)


@breaks("likeness_of_an_item_alone")
class RelativeLikeness(Toy):
    def similarity_block(self, items: Tensor) -> Tensor:
        found = super().similarity_block(items)
        return found - found.mean(dim=0)


@breaks("on_the_same_graph")
class Forgetful(Toy):
    def on_graph(self, graph: HeteroGraph) -> Self:
        return type(self)(graph, self.settings).eval()


@breaks("on_a_smaller_graph")
class Giving(Toy):
    def on_graph(self, graph: HeteroGraph) -> Self:
        twin = super().on_graph(graph)
        self.table.data.zero_()
        self.eval()
        return twin


@breaks("a_copy_stands_alone")
class Alone(Toy):
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


@breaks("state_and_settings_are_all")
class Secretive(Toy):
    shift = 0.0

    def reset(self, generator: torch.Generator) -> None:
        super().reset(generator)
        self.shift = 1.0

    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users) + self.shift


@breaks("float64_agrees")
class Coarse(Toy):
    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users) + (self.table.dtype == torch.float64)


@breaks("in_scoring_mode")
class AlwaysTraining(Toy):
    def train(self, mode: bool = True) -> Self:
        return super().train(True)


# --- how it comes about


@breaks("its_name")
class Misnamed(Toy):
    name = "toy-second"


@dataclass(frozen=True)
class TooWide(LightGCNSettings):
    layers: int = searched(1, -1, 3)


@breaks("its_settings")
class Searched(Toy):
    Settings = TooWide


@breaks("one_seed_one_result")
class Restless(Toy):
    def reset(self, generator: torch.Generator) -> None:
        super().reset(generator)
        self.table.data += next(COUNTER)


@breaks("another_seed_another_result")
class Stubborn(Toy):
    def reset(self, generator: torch.Generator) -> None:
        super().reset(generator_for(1))

    def loss(self, batch: Batch) -> Tensor:
        return self.table.square().mean()


@breaks("no_draw_from_the_world")
class Global(Toy):
    def reset(self, generator: torch.Generator) -> None:
        self.table.data = torch.randn(self.table.shape)


@breaks("names_of_another_order")
class ByNumber(Popularity):
    name = "toy"

    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users) + torch.arange(self.graph.num_items, dtype=torch.float32)


@breaks("its_loss")
class Flat(Toy):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * 0


@breaks("a_step_alone")
class Remembering(Toy):
    last = 0.0

    def loss(self, batch: Batch) -> Tensor:
        value = super().loss(batch) * (1 + self.last)
        self.last = float(batch.positive[0])
        return value


@breaks("it_learns")
class Unlearning(Toy):
    def loss(self, batch: Batch) -> Tensor:
        return 2 * super().loss(batch).detach() - super().loss(batch)


@breaks("stopped_and_resumed")
class Counting(Toy):
    steps = 0

    def loss(self, batch: Batch) -> Tensor:
        self.steps += 1
        return super().loss(batch) * self.steps**2


@breaks("data_it_cannot_carry")
class Speechless(Toy):
    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        if graph.num_relations == 2:
            raise DataError("no")
