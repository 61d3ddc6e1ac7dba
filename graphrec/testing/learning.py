"""Checks of how a model comes about: what it may see, what it must not depend on, and how it learns."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from graphrec.data import Part
from graphrec.errors import DataError
from graphrec.graph import HeteroGraph
from graphrec.models import MODELS, Fused, TrainedModel, make_settings
from graphrec.models.base import ranges_of
from graphrec.sampling import Batch
from graphrec.sparse import CSR
from graphrec.testing.randomness import untouched
from graphrec.testing.subject import (
    NotApplicable,
    Subject,
    check,
    close,
    require,
    same_run,
    scores_of,
    state_of,
    train_rows,
    without,
)
from graphrec.training import Epoch, fit_model


@check
def its_name(subject: Subject) -> None:
    """A model is registered under its own name, which has no hyphen: what follows one is a view's label."""
    require(MODELS[subject.name].name == subject.name, f"its class says {MODELS[subject.name].name!r}")
    require("-" not in subject.name, f"{subject.name!r} has a hyphen")


@check
def its_settings(subject: Subject) -> None:
    """Settings are a frozen dataclass with valid defaults, and every value that a search may try is valid."""
    settings = make_settings(subject.name, {})
    parameters = getattr(type(settings), "__dataclass_params__", None)
    require(parameters is not None and parameters.frozen, "they are not a frozen dataclass")
    for name, span in ranges_of(type(settings)).items():
        kind = type(getattr(settings, name))
        for value in span.choices or (kind(span.low), kind(span.high)):
            make_settings(subject.name, {name: value})


@check
def one_seed_one_result(subject: Subject) -> None:
    """The same seed gives the same bytes."""
    same_run(subject.train(subject.data), subject.recommender, "trained again")


@check
def another_seed_another_result(subject: Subject) -> None:
    """A model that is trained by gradient draws from its seed."""
    other = subject.train(subject.data, seed=2).model
    require(state_of(other) != state_of(subject.trained), "another seed gives the same bytes")


@check
def no_draw_from_the_world(subject: Subject) -> None:
    """Training neither reads nor moves the random state that a program shares."""
    with untouched(seed=99):
        run = subject.train(subject.data)
    same_run(run, subject.recommender, "trained after other draws")


@check
def order_of_rows(subject: Subject) -> None:
    """The order of the rows in the tables does not matter."""
    world = subject.world
    tables = {name: getattr(world, name).sample(frac=1, random_state=5) for name in ("knowledge", "items", "users")}
    data = subject.read(world.interactions.sample(frac=1, random_state=4), **tables)
    same_run(subject.train(data), subject.recommender, "trained on shuffled tables")


@check
def other_names(subject: Subject) -> None:
    """Users and items under other names of the same order give the same bytes."""
    data = subject.read(**_renamed(subject, lambda ids: "x" + ids))
    same_run(subject.train(data), subject.recommender, "trained under other names")


@check
def names_of_another_order(subject: Subject) -> None:
    """Numbering users and items otherwise gives everybody the same scores."""
    if isinstance(subject.model, TrainedModel | Fused):
        raise NotApplicable("its first values and the rows that are held out are drawn by number")
    other = subject.read(**_renamed(subject, _reversed))
    whole = {"refit": True}  # on all rows of train, so that none are drawn
    expected, found = subject.train(subject.data, **whole), subject.train(other, **whole)
    users = other.users.index(_reversed(pd.Series(subject.data.users.names(range(subject.data.num_users)))))
    items = other.items.index(_reversed(pd.Series(subject.data.items.names(range(subject.data.num_items)))), "item")
    close(scores_of(found)[users][:, items], scores_of(expected), "numbered otherwise")


@check
def no_held_out_edge(subject: Subject) -> None:
    """The graph of a model that is being chosen holds the fit rows, all of them, and no other."""
    _holds(subject.model.graph, train_rows(subject.data, Part.FIT))


@check
def refit_on_all_train_rows(subject: Subject) -> None:
    """With ``refit`` the graph holds all train rows, and still no test row."""
    graph = subject.train(subject.data, refit=True).model.graph
    _holds(graph, train_rows(subject.data, Part.FIT, Part.SELECT, Part.BLEND))


@check
def test_rows_do_not_matter(subject: Subject) -> None:
    """Without the test rows training ends in the same bytes."""
    same_run(subject.train(without(subject.data, Part.TEST)), subject.recommender, "trained without test rows")


@check
def rows_for_fusing_do_not_matter(subject: Subject) -> None:
    """A model that is no fusion does not read the rows that fusions are weighed on."""
    if isinstance(subject.model, Fused):
        raise NotApplicable("it is weighed on them")
    same_run(subject.train(without(subject.data, Part.BLEND)), subject.recommender, "trained without blend rows")


@check
def its_loss(subject: Subject) -> None:
    """The loss of a batch is one finite number with a gradient; the gradient is finite, and not 0 everywhere."""
    model = _training(subject)
    loss = model.loss(subject.batches()[0])
    require(loss.shape == () and bool(loss.isfinite()), f"the loss is {loss}")
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    require(all(bool(gradient.isfinite().all()) for gradient in gradients), "a gradient is infinite or not a number")
    require(any(bool(gradient.any()) for gradient in gradients), "no parameter has a gradient")


@check
def a_step_alone(subject: Subject) -> None:
    """A step's gradient does not depend on the batch before."""
    model, batches = _training(subject), subject.batches()
    if len(batches) < 2:
        raise NotApplicable("all pairs are in one batch")
    _gradient(model, batches[0])
    after = _gradient(model, subject.batches()[1])
    alone = _gradient(_training(subject), subject.batches()[1])
    require(all(torch.equal(after[name], alone[name]) for name in alone), "it does")


@check
def it_learns(subject: Subject) -> None:
    """The loss falls over some epochs."""
    if not subject.recommender.run.metrics["epochs"]:
        raise NotApplicable("it has no epochs")
    loss = subject.train(subject.data, epochs=10).run.history["loss"].tolist()
    require(min(loss[-2:]) < loss[0], f"it went from {loss[0]} to {loss[-1]}")


@check
def stopped_and_resumed(subject: Subject) -> None:
    """Training that is stopped after an epoch and resumed ends in the same bytes as training that was not."""
    config = subject.recommender.run.config
    if not subject.recommender.run.metrics["epochs"]:
        raise NotApplicable("it has no epochs")

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        with suppress(KeyboardInterrupt):
            fit_model(subject.data, config, checkpoints=Path(folder), on_epoch=stop)
        resumed = fit_model(subject.data, config, checkpoints=Path(folder)).model
    require(state_of(resumed) == state_of(subject.model), "they differ")


@check
def data_it_cannot_carry(subject: Subject) -> None:
    """On interactions alone a model trains, or says why they cannot carry it (``DataError``) and what to do."""
    bare = subject.world.interactions[["user_id", "item_id"]]
    data = subject.read(bare, knowledge=None, items=None, users=None)
    try:
        scores = scores_of(subject.train(data))
    except DataError as error:
        require(bool(error.hint), f"{error.code} names no next step")
        return
    require(bool(scores.isfinite().all()), "a score is infinite or not a number")


def _holds(graph: HeteroGraph, rows: CSR) -> None:
    """Require the interactions of a graph to be these rows."""
    seen = graph.seen.to("cpu")
    require(torch.equal(seen.rowptr, rows.rowptr) and torch.equal(seen.col, rows.col), "it holds others")


def _training(subject: Subject) -> TrainedModel:
    """The model in training mode, on its graph, with its parameters and without gradients."""
    model = subject.trained.on_graph(subject.model.graph)
    return model.train()


def _gradient(model: TrainedModel, batch: Batch) -> dict[str, Tensor]:
    """What a step leaves behind."""
    model.zero_grad(set_to_none=True)
    model.loss(batch).backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def _reversed(ids: pd.Series) -> pd.Series:
    """Names in which every character is mirrored, so that they sort the other way round."""
    return ids.map(lambda name: "".join(chr(0x3000 - ord(character)) for character in str(name)) + "\uffff")


def _renamed(subject: Subject, rename: Any) -> dict[str, pd.DataFrame]:
    """The tables of the shop with other names for users and items."""
    world, items = subject.world, set(subject.world.items["item_id"])
    ends = {end: world.knowledge[end] for end in ("head", "tail")}
    knowledge = {end: ids.where(~ids.isin(items), rename(ids)) for end, ids in ends.items()}
    return {
        "interactions": world.interactions.assign(
            user_id=rename(world.interactions["user_id"]), item_id=rename(world.interactions["item_id"])
        ),
        "knowledge": world.knowledge.assign(**knowledge),
        "items": world.items.assign(item_id=rename(world.items["item_id"])),
        "users": world.users.assign(user_id=rename(world.users["user_id"])),
    }
