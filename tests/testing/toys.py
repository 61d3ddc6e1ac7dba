"""A model that keeps the contract, and one way to break it for each check."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from graphrec.data import Part
from graphrec.data.ids import IdMap
from graphrec.errors import DataError
from graphrec.graph import HeteroGraph, build_graph
from graphrec.models import MODELS, EmbeddingSettings, LightGCN, LightGCNSettings, Popularity
from graphrec.models.base import searched
from graphrec.ranking import Ranking, rank
from graphrec.recommender import Recommender, face
from graphrec.sampling import Batch, generator_for
from graphrec.sparse import CSR
from graphrec.testing import lists, saving, subject
from graphrec.training import fitting

Patch = pytest.MonkeyPatch
Fault = type | Callable[[Patch], None]
COUNTER = itertools.count(1)
FAULTS: dict[str, Fault] = {}
"""By check, what it must notice: a model, or a change of what is around it."""


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


@breaks("order_of_rows")
def seeds_by_the_first_row(patch: Patch) -> None:
    read = subject.read_dataset
    patch.setattr(
        subject, "read_dataset", lambda rows, seed, **more: read(rows, seed=len(rows["item_id"].iloc[0]), **more)
    )


@breaks("other_names")
def seeds_by_a_name(patch: Patch) -> None:
    read = subject.read_dataset
    patch.setattr(
        subject, "read_dataset", lambda rows, seed, **more: read(rows, seed=len(rows["user_id"].max()), **more)
    )


@breaks("names_of_another_order")
class ByNumber(Popularity):
    name = "toy"

    def score_block(self, users: Tensor) -> Tensor:
        return super().score_block(users) + torch.arange(self.graph.num_items, dtype=torch.float32)


def with_edges_of(*more: Part) -> Callable[[Patch], None]:
    """Graphs that hold other rows than they may."""
    return lambda patch: patch.setattr(fitting, "build_graph", lambda data, parts: build_graph(data, (*parts, *more)))


FAULTS["no_held_out_edge"] = with_edges_of(Part.SELECT)
FAULTS["refit_on_all_train_rows"] = with_edges_of(Part.TEST)
FAULTS["test_rows_do_not_matter"] = with_edges_of(Part.TEST)
FAULTS["rows_for_fusing_do_not_matter"] = with_edges_of(Part.BLEND)


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


# --- what people get


def ranking(change: Callable[..., Ranking]) -> Callable[[Patch], None]:
    """Lists that are made in another way."""
    return lambda patch: patch.setattr(face, "rank", change)


def backwards(*given: Any, **more: Any) -> Ranking:
    found = rank(*given, **more)
    return replace(found, items=found.items.flip(1), scores=found.scores.flip(1))


def unmasked(*given: Any, seen: CSR | None, **more: Any) -> Ranking:
    return rank(*given, seen=None, **more)


def at_most_three(score: Any, users: Tensor, k: int, **more: Any) -> Ranking:
    return rank(score, users, min(k, 3), **more)


def another_four(score: Any, users: Tensor, k: int, **more: Any) -> Ranking:
    return rank((lambda block: -score(block)) if k == 4 else score, users, k, **more)


def the_worst(score: Any, *given: Any, **more: Any) -> Ranking:
    return rank(lambda block: -score(block), *given, **more)


def off_by_one(*given: Any, **more: Any) -> Ranking:
    found = rank(*given, **more)
    return replace(found, scores=found.scores + 1)


def sorted_first(score: Any, users: Tensor, *given: Any, **more: Any) -> Ranking:
    return rank(score, users.sort().values, *given, **more)


def somebody(score: Any, users: Tensor, *given: Any, **more: Any) -> Ranking:
    return rank(score, users[: int(users.max()) + 10**6], *given, **more)


def everything(*given: Any, allowed: Tensor | None = None, **more: Any) -> Ranking:
    return rank(*given, allowed=None, **more)


def positive(score: Any, *given: Any, **more: Any) -> Ranking:
    return rank(lambda block: score(block).clamp(min=0), *given, **more)


FAULTS |= {
    "the_form_of_a_list": ranking(backwards),
    "what_was_seen_is_left_out": ranking(unmasked),
    "nothing_is_left_out_unless_asked": ranking(at_most_three),
    "the_length_of_a_list": ranking(at_most_three),
    "a_short_list_begins_a_long_one": ranking(another_four),
    "lists_show_the_scores": ranking(off_by_one),
    "the_best_come_first": ranking(the_worst),
    "scores_below_zero_rank_alike": lambda patch: patch.setattr(lists, "rank", positive),
    "the_order_of_those_asked_for": ranking(sorted_first),
    "nobody_asked_for": ranking(somebody),
    "some_items_alone": ranking(everything),
    "a_list_for_a_newcomer": ranking(unmasked),
    "like_items": ranking(unmasked),
}


@breaks("unknown_ids")
def anybody(patch: Patch) -> None:
    patch.setattr(IdMap, "index", lambda self, ids, kind="user": self.lookup(ids).clip(0))


@breaks("lists_in_a_file")
def shorter_in_a_file(patch: Patch) -> None:
    write = face.write_lists
    patch.setattr(face, "write_lists", lambda maker, path, index, k, *more: write(maker, path, index, k - 1, *more))


@breaks("explanations")
def explained_otherwise(patch: Patch) -> None:
    explain = face.explain_pair
    patch.setattr(face, "explain_pair", lambda *given, **more: replace(explain(*given, **more), score=7.0))


@breaks("metrics")
def more_than_all(patch: Patch) -> None:
    judge = face.evaluate
    patch.setattr(face, "evaluate", lambda *given, **more: replace(judge(*given, **more), metrics={"recall@20": 2.0}))


# --- what is written and read again


def changed(recommender: Recommender) -> Recommender:
    for tensor in (*recommender.model.parameters(), *recommender.model.buffers()):
        tensor.data = tensor.data * 2 + 1
    recommender.model.eval()
    return recommender


def loads_another(patch: Patch) -> None:
    load = saving.load
    patch.setattr(saving, "load", lambda folder: changed(load(folder)))


FAULTS |= dict.fromkeys(("a_loaded_run_is_the_run", "a_loaded_run_takes_newcomers"), loads_another)
FAULTS["a_loaded_run_explains"] = loads_another


@breaks("saved_twice")
def saves_another(patch: Patch) -> None:
    save = Recommender.save
    patch.setattr(Recommender, "save", lambda self, folder: (save(self, folder), changed(self)))


FAULTS["saving_changes_nothing"] = saves_another


@breaks("the_same_data_extended")
def extends_another(patch: Patch) -> None:
    extend = Recommender.extend
    patch.setattr(Recommender, "extend", lambda self, data: changed(extend(self, data)))


# --- data at the edge


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


def register(fault: Fault, patch: Patch) -> None:
    """Put the toy, or the broken one, into the registry."""
    if isinstance(fault, type):
        patch.setitem(MODELS, "toy", fault)
    else:
        patch.setitem(MODELS, "toy", Toy)
        fault(patch)
