"""Views trained together: the loss by hand, what it reaches, and whole trainings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.config import make_config, parse_config
from graphrec.errors import UsageError
from graphrec.models import Fused, Joint, LightGCN, LightGCNSettings
from graphrec.models.fused_settings import FusedSettings
from graphrec.sampling import Batch, generator_for
from graphrec.training import fit_model
from graphrec.training.warm import Start
from tests.worlds import hand_graph, small_world

WORLD = small_world()
QUICK = {"views": ("lightgcn", "gat"), "fuse": "joint", "width": 8, "layers": 1, "heads": 2, "batch_size": 64}


def joint(*labels: str, **settings: object) -> Joint:
    graph, views = hand_graph(), [f"lightgcn-{label}" for label in labels]
    members = {view: LightGCN(graph, LightGCNSettings(width=4, layers=1, **settings)) for view in views}
    return Joint(Fused(graph, FusedSettings(views=tuple(views), fuse="joint"), members))


def a_batch() -> Batch:
    """User 0 with items 0 and 1, both used; user 1 with item 1, of which it has not used item 0."""
    return Batch(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([2, 2, 2]), generator_for(1))


def test_the_loss_by_hand() -> None:
    """The plain mean of both views' z̃ over the batch's items: user 0 has no negative, user 1 has item 0."""
    model, batch = joint("one", "two"), a_batch()
    model.reset(generator_for(3))
    own, fused = 0.0, np.zeros((3, 3))
    for view in model.views:
        own += view.loss(a_batch()).item()
        vectors = view.propagate().detach().numpy()
        scores = vectors[[0, 0, 1]] @ vectors[[2, 3, 3]].T
        fused += (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True) / 2
    of_user_1 = np.log(1 + np.exp(fused[2, 0] - fused[2, 2]))
    assert model.loss(batch).item() == pytest.approx(own + of_user_1 / 3, abs=1e-5)


def test_a_step_reaches_every_parameter() -> None:
    model = joint("one", "two").train()
    model.reset(generator_for(3))
    model.loss(a_batch()).backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in model.named_parameters()}
    grouped = {id(parameter) for group in model.parameter_groups(0.1) for parameter in group["params"]}
    assert grouped == {id(parameter) for parameter in model.parameters()}


def test_equal_views_have_a_gradient() -> None:
    model = joint("one", "two").train()
    model.reset(generator_for(3))
    model.views[1].load_state_dict(model.views[0].state_dict())
    model.loss(a_batch()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_training_together_learns_and_repeats() -> None:
    config = make_config("fused", **QUICK, epochs=6, patience=0, eval_every=3, refit=True)
    one, two = (fit_model(WORLD, config) for _ in range(2))
    losses = one.history[one.history.phase == "select"].loss
    assert losses.iloc[-1] < losses.iloc[0]
    assert one.history.model.unique().tolist() == ["fused"] and set(one.epochs) == {"fused"}
    assert one.fusion is not None and set(one.fusion.judged) == {"lightgcn", "gat", "mean", "constant", "fused"}
    for mine, other in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_warm_start_takes_over_all_views() -> None:
    config = make_config("fused", **QUICK, epochs=2, patience=0)
    earlier = fit_model(WORLD, config).model
    later = fit_model(WORLD, config, start=Start(WORLD, earlier)).history
    assert later.loss.iloc[0] < fit_model(WORLD, config).history.loss.iloc[0]


def test_views_are_taken_over_by_name() -> None:
    """From a fusion that has more of them, in another order."""
    many, two = joint("other", "two", "one"), joint("one", "two")
    many.reset(generator_for(3))
    nodes = torch.arange(len(two.views[0].table))
    two.take_over(many, nodes, nodes)
    assert torch.equal(two.views[0].table, many.views[2].table) and torch.equal(two.views[1].table, many.views[1].table)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"views": ("lightgcn", "item_knn")}, "fuse joint is for views like lightgcn and gat, not item_knn"),
        ({"views": ("lightgcn", "gat"), "sampling": "neighbor"}, "without sampling neighbor"),
        ({"fuse": "both"}, "fuse must be stacked or joint, got both"),
    ],
)
def test_what_cannot_be_trained_together_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_config("fused", **({"fuse": "joint"} | given))


def test_views_trained_together_have_no_training_of_their_own() -> None:
    models = {"fused": {"views": ["lightgcn", "gat"], "fuse": "joint"}}
    with pytest.raises(UsageError, match="without view_training"):
        parse_config({"model": "fused", "models": models, "view_training": {"gat": {"epochs": 3}}})
