"""Checks of how a model scores: known users, people it has never met, and the likeness of items."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from graphrec.errors import UsageError
from graphrec.graph import build_graph
from graphrec.models import Fused, Model, TrainedModel, build_model, views_of
from graphrec.testing.subject import NotApplicable, Subject, check, close, equal, histories, require, state_of
from graphrec.training import parts_of


def _form(scores: Tensor, rows: int, subject: Subject) -> None:
    """Require scores of all items for so many rows."""
    expected = (rows, subject.data.num_items)
    require(scores.dtype == torch.float32, f"got {scores.dtype}")
    require(tuple(scores.shape) == expected, f"got shape {tuple(scores.shape)}, expected {expected}")
    require(scores.device == subject.model.graph.device, f"got scores on {scores.device}")
    require(bool(scores.isfinite().all()), "a score is infinite or not a number")


@check
def scores_of_a_block(subject: Subject) -> None:
    """The scores of B users are finite, float32 [B, I], on the device of the graph."""
    _form(subject.model.score_block(subject.everyone), subject.data.num_users, subject)
    _form(subject.model.score_block(subject.everyone[3:5]), 2, subject)


@check
def scores_carry_no_gradient(subject: Subject) -> None:
    """Scoring leaves nothing behind that a gradient could flow through."""
    require(not subject.model.score_block(subject.everyone).requires_grad, "scores require a gradient")
    require(not subject.model.fold_in(histories(subject, [0])).requires_grad, "scores of newcomers require a gradient")


@check
def no_users_no_scores(subject: Subject) -> None:
    """No users give scores of shape [0, I]."""
    _form(subject.model.score_block(subject.everyone[:0]), 0, subject)


@check
def a_user_alone(subject: Subject) -> None:
    """A user's scores do not depend on who else is in the block."""
    together = subject.model.score_block(subject.everyone)
    alone = torch.cat([subject.model.score_block(subject.everyone[[user]]) for user in range(len(together))])
    close(alone, together, "scored one by one")


@check
def order_of_users(subject: Subject) -> None:
    """Scores come in the order of the users asked for, and as often as they are."""
    asked = torch.cat([subject.everyone.flip(0), subject.everyone[:3]])
    close(subject.model.score_block(asked), subject.model.score_block(subject.everyone)[asked], "in another order")


@check
def scores_repeat(subject: Subject) -> None:
    """The same call gives the same bits, whatever was asked in between."""
    before = subject.model.score_block(subject.everyone)
    subject.model.fold_in(histories(subject, [0, 1]))
    equal(subject.model.score_block(subject.everyone), before, "asked again, the scores are others")


@check
def arguments_stay(subject: Subject) -> None:
    """Users, histories and items that are handed over stay as they are."""
    users, history, items = subject.everyone, histories(subject, [2, 5], [1]), torch.arange(subject.data.num_items)
    kept = [tensor.clone() for tensor in (users, history.rowptr, history.col, items)]
    subject.model.score_block(users)
    subject.model.fold_in(history)
    _likeness(subject, items)
    for now, before in zip((users, history.rowptr, history.col, items), kept, strict=True):
        equal(now, before, "an argument was changed")


@check
def scoring_changes_nothing(subject: Subject) -> None:
    """Scoring changes neither parameters nor buffers."""
    before = state_of(subject.model)
    subject.model.score_block(subject.everyone)
    subject.model.fold_in(histories(subject, [0, 1]))
    _likeness(subject, torch.arange(subject.data.num_items))
    require(state_of(subject.model) == before, "the state is another after scoring")


@check
def the_graph_stays(subject: Subject) -> None:
    """Training and scoring leave the graph as it was made."""
    config = subject.recommender.run.config
    made = build_model(subject.name, build_graph(subject.data, parts_of(config)), config.models).graph
    subject.model.score_block(subject.everyone)
    require(subject.model.graph.digest() == made.digest(), "nodes, edges or times have changed")


@check
def vectors_give_the_scores(subject: Subject) -> None:
    """Where a model has vectors, their inner products are its scores."""
    found = subject.model.vectors()
    if found is None:
        raise NotApplicable("it has no vectors of users and items")
    require(len(found[0]) == subject.data.num_users and len(found[1]) == subject.data.num_items, "a vector is missing")
    close(found[0] @ found[1].T, subject.model.score_block(subject.everyone), "inner products")


@check
def newcomers(subject: Subject) -> None:
    """The scores of B people the model has never met are finite, float32 [B, I]."""
    _form(subject.model.fold_in(histories(subject, [0, 1, 2], [3])), 2, subject)


@check
def newcomers_of_nothing(subject: Subject) -> None:
    """Someone who has used nothing gets finite scores."""
    _form(subject.model.fold_in(histories(subject, [], [0])), 2, subject)


@check
def no_newcomers(subject: Subject) -> None:
    """No newcomers give scores of shape [0, I]."""
    _form(subject.model.fold_in(histories(subject)), 0, subject)


@check
def a_newcomer_alone(subject: Subject) -> None:
    """A newcomer's scores do not depend on who else comes."""
    used = ([0, 4], [7], [1, 2, 3, 9])
    together = subject.model.fold_in(histories(subject, *used))
    alone = torch.cat([subject.model.fold_in(histories(subject, items)) for items in used])
    close(alone, together, "folded in one by one")


@check
def likeness_of_items(subject: Subject) -> None:
    """The likeness of B items to all is finite, float32 [B, I]; of no items it is [0, I]."""
    _form(_known_likeness(subject, torch.arange(3)), 3, subject)
    _form(_known_likeness(subject, torch.arange(0)), 0, subject)


@check
def an_item_is_most_like_itself(subject: Subject) -> None:
    """Nothing is more like an item than itself, unless the model knows nothing of it, which is a likeness of 0."""
    found = _known_likeness(subject, torch.arange(subject.data.num_items))
    itself, most = found.diagonal(), found.max(dim=1).values
    wrong = ((itself < most - 1e-5) & (itself != 0)).nonzero()[:, 0].tolist()
    require(not wrong, f"items {wrong[:5]} are less like themselves than another")


@check
def likeness_of_an_item_alone(subject: Subject) -> None:
    """An item's likeness to others does not depend on which else are asked for."""
    items = torch.arange(subject.data.num_items)
    alone = torch.cat([_known_likeness(subject, items[[item]]) for item in range(len(items))])
    close(alone, _known_likeness(subject, items), "asked one by one")


@check
def on_the_same_graph(subject: Subject) -> None:
    """The same parameters on the same graph give the same scores."""
    twin = subject.model.on_graph(subject.model.graph)
    close(twin.score_block(subject.everyone), subject.model.score_block(subject.everyone), "on the same graph")


@check
def on_a_smaller_graph(subject: Subject) -> None:
    """On a graph with fewer edges a model gives finite scores, and stays itself as it was."""
    graph, before = subject.model.graph, subject.model.score_block(subject.everyone)
    row, col = graph.adjacency.row_index()[:5], graph.adjacency.col[:5]
    _form(subject.model.on_graph(graph.without_edges(row, col)).score_block(subject.everyone), len(before), subject)
    equal(subject.model.score_block(subject.everyone), before, "its own scores are others")


@check
def a_copy_stands_alone(subject: Subject) -> None:
    """Whatever is done to a copy, the model stays as it was."""
    before, twin = subject.model.score_block(subject.everyone), copy.deepcopy(subject.model)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.zero_()
    twin.eval().score_block(subject.everyone)
    equal(subject.model.score_block(subject.everyone), before, "its own scores are others")


@check
def state_and_settings_are_all(subject: Subject) -> None:
    """A model built anew from its settings, with the state of the old one, scores the same."""
    twin = build_model(subject.name, subject.model.graph, subject.recommender.run.config.models)
    twin.load_state_dict(subject.model.state_dict())
    close(twin.eval().score_block(subject.everyone), subject.model.score_block(subject.everyone), "built anew")


@check
def float64_agrees(subject: Subject) -> None:
    """Computed in float64, the scores are the same but for rounding."""
    if isinstance(subject.model, Fused):
        raise NotApplicable("it adds the float32 scores of its views")
    if not any(tensor.is_floating_point() for tensor in subject.model.state_dict().values()):
        raise NotApplicable("it holds no numbers to compute with")
    twin = copy.deepcopy(subject.model).double().eval()
    close(twin.score_block(subject.everyone).float(), subject.model.score_block(subject.everyone), "in float64")


@check
def a_gpu_agrees(subject: Subject) -> None:
    """On a GPU the scores are the same but for rounding."""
    if not torch.cuda.is_available():
        raise NotApplicable("this torch sees no GPU")
    twin = build_model(subject.name, subject.model.graph.to("cuda"), subject.recommender.run.config.models)
    twin.load_state_dict(subject.model.state_dict())
    found = twin.eval().score_block(subject.everyone.cuda())
    close(found.cpu(), subject.model.score_block(subject.everyone).cpu(), "on a GPU")


@check
def in_scoring_mode(subject: Subject) -> None:
    """A trained model is in scoring mode, all of it."""
    models: list[Model] = [*views_of(subject.model).values(), subject.model]
    if not any(isinstance(model, TrainedModel | Fused) for model in models):
        raise NotApplicable("it is not trained by gradient")
    require(not any(module.training for model in models for module in model.modules()), "a part is in training mode")


def _likeness(subject: Subject, items: Tensor) -> Tensor | None:
    """The likeness of items, None where the model knows none."""
    try:
        return subject.model.similarity_block(items)
    except UsageError:
        return None


def _known_likeness(subject: Subject, items: Tensor) -> Tensor:
    found = _likeness(subject, items)
    if found is None:
        raise NotApplicable("it knows no likeness of items")
    return found
