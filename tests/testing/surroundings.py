"""Checks that no model of its own can break, and what around it breaks them: readers, graphs, ranking, run folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
from torch import Tensor

from graphrec.data import Dataset, Part
from graphrec.data.ids import IdMap
from graphrec.graph import build_graph
from graphrec.models import MODELS
from graphrec.ranking import Ranking, rank
from graphrec.recommender import Recommender, face
from graphrec.sparse import CSR
from graphrec.testing import lists, saving, subject
from graphrec.training import fitting
from tests.testing.edges import FAULTS
from tests.testing.toys import Fault, Patch, Toy, breaks

# --- how it comes about


@breaks("order_of_rows")
def seeds_by_the_first_row(patch: Patch) -> None:
    drawing(patch, lambda rows: len(rows["item_id"].iloc[0]))


@breaks("other_names")
def seeds_by_a_name(patch: Patch) -> None:
    drawing(patch, lambda rows: len(rows["user_id"].max()))


def drawing(patch: Patch, seed_of: Callable[[pd.DataFrame], int]) -> None:
    """Parts drawn at random, by a seed that comes from the table."""
    read = subject.read_dataset

    def seeded(rows: pd.DataFrame, seed: int, **more: Any) -> Dataset:
        return read(rows, seed=seed_of(rows), **more | {"split": "random"})

    patch.setattr(subject, "read_dataset", seeded)


def with_edges_of(*more: Part) -> Callable[[Patch], None]:
    """Graphs that hold other rows than they may."""
    return lambda patch: patch.setattr(fitting, "build_graph", lambda data, parts: build_graph(data, (*parts, *more)))


FAULTS["no_held_out_edge"] = with_edges_of(Part.SELECT)
FAULTS["refit_on_all_train_rows"] = with_edges_of(Part.TEST)
FAULTS["test_rows_do_not_matter"] = with_edges_of(Part.TEST)
FAULTS["rows_for_fusing_do_not_matter"] = with_edges_of(Part.BLEND)


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


def register(fault: Fault, patch: Patch) -> None:
    """Put the toy, or the broken one, into the registry."""
    if isinstance(fault, type):
        patch.setitem(MODELS, "toy", fault)
    else:
        patch.setitem(MODELS, "toy", Toy)
        fault(patch)
