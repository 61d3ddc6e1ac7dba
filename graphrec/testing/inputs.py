"""Checks of a model on data at the edge of what there is: one user, one item, nothing known of somebody."""

from __future__ import annotations

import numpy as np
import pandas as pd

from graphrec.errors import DataError
from graphrec.models import Fused, Popularity
from graphrec.recommender import Recommender, train
from graphrec.testing.subject import NotApplicable, Subject, check, require, scores_of


def _serves(recommender: Recommender, users: list[str] | None = None) -> pd.DataFrame:
    """Require finite scores for everybody; returns the lists of some, of all if None are named."""
    require(bool(scores_of(recommender).isfinite().all()), "a score is infinite or not a number")
    return recommender.recommend(users, k=recommender.dataset.num_items)


def _trained_on(subject: Subject, interactions: pd.DataFrame, **tables: object) -> Recommender | None:
    """The model on other interactions, None where it says that they cannot carry it."""
    data = subject.read(interactions, users=None, **tables)
    try:
        return subject.train(data)
    except DataError:
        return None


@check
def one_user(subject: Subject) -> None:
    """With one user a model serves them, or says that the data cannot carry it (``DataError``)."""
    rows = subject.world.interactions
    alone = rows[rows["user_id"] == rows["user_id"].value_counts().idxmax()]
    found = _trained_on(subject, alone)
    if found is not None:
        _serves(found)


@check
def one_item(subject: Subject) -> None:
    """With one item a model serves its users, or says that the data cannot carry it (``DataError``)."""
    rows = subject.world.interactions
    alone = rows[rows["item_id"] == rows["item_id"].value_counts().idxmax()]
    found = _trained_on(subject, alone, items=None, knowledge=None)
    if found is not None:
        _serves(found)


@check
def an_item_nobody_has_used(subject: Subject) -> None:
    """An item without a train row has finite scores and a place in everybody's list."""
    items = pd.concat([subject.world.items, pd.DataFrame({"item_id": ["new"], "title": ["New"], "year": [2000]})])
    table = _serves(subject.train(subject.read(items=items)))
    require(table["item_id"].eq("new").sum() == table["user_id"].nunique(), "somebody's list lacks it")


@check
def a_user_of_nothing(subject: Subject) -> None:
    """A user without a train row gets a list of the whole catalogue."""
    test = pd.DataFrame({"user_id": ["newcomer"], "item_id": [subject.world.item_ids[0]], "timestamp": [2**31]})
    recommender = subject.train(subject.read(test=test))
    table = _serves(recommender, ["newcomer"])
    require(len(table) == recommender.dataset.num_items, f"got {len(table)} items")


@check
def a_user_of_everything(subject: Subject) -> None:
    """A user who has used every item keeps nobody from being served, and has nothing left to be recommended."""
    world = subject.world
    extra = pd.DataFrame({"user_id": "greedy", "item_id": world.item_ids, "timestamp": np.arange(len(world.item_ids))})
    none = pd.DataFrame({"user_id": ["alice"], "item_id": [world.item_ids[0]], "timestamp": [2**31]})
    data = subject.read(pd.concat([world.interactions, extra]), test=none)
    recommender = subject.train(data, refit=True)  # on all rows
    require(len(_serves(recommender, ["greedy"])) == 0, "there is something left")


@check
def no_knowledge(subject: Subject) -> None:
    """Without knowledge a model serves everybody, or says that the data cannot carry it (``DataError``)."""
    found = _trained_on(subject, subject.world.interactions, knowledge=None)
    if found is not None:
        _serves(found)


@check
def as_a_view(subject: Subject) -> None:
    """A model can be fused with another."""
    if isinstance(subject.model, Fused):
        raise NotApplicable("it is a fusion")
    if subject.name == Popularity.name:
        raise NotApplicable("it is what others are fused with here")
    fused = train(subject.data, Fused.name, views=(subject.name, Popularity.name), **subject.quick)
    _serves(fused)
