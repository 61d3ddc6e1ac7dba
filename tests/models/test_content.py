"""Content: attention over modalities by hand, users as what they used, cold items, and what is masked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.config import TrainingConfig
from graphrec.data import Part, read_dataset, synthetic
from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph, build_graph
from graphrec.graph.hetero import assemble
from graphrec.layers import ModalityAttention
from graphrec.losses import bpr_loss, l2_penalty, softmax_loss
from graphrec.models import MODELS, Content, ContentSettings
from graphrec.sampling import Batch, generator_for
from graphrec.training.trainer import Trainer
from tests.worlds import hand_graph, pairs

NAN = float("nan")
TEXT = torch.tensor([[1.0, 0.0], [0.0, 2.0], [NAN, NAN]])
IMAGE = torch.tensor([[3.0], [NAN], [NAN]])


def described(**features: dict[str, Tensor]) -> HeteroGraph:
    """Two users, three items (0 by both modalities, 1 by text, 2 by nothing)."""
    return replace(hand_graph(), features={"item": {"text": TEXT, "image": IMAGE}} | features)


def fitted(graph: HeteroGraph | None = None, **settings: object) -> Content:
    model = Content(graph or described(), ContentSettings(width=4, **settings))
    model.reset(generator_for(0))
    return model.eval()


def test_the_mean_over_known_modalities_by_hand() -> None:
    """A usual number is √((1 + 4) / 4) in the text and 3 in the image; attention starts as the mean."""
    model = fitted()
    text, image = model.of_items.project["text"].detach(), model.of_items.project["image"].detach()
    first = (text[:, 0] / 1.25**0.5 + image[:, 0]) / 2
    second = text[:, 1] * 2 / 1.25**0.5
    expected = torch.stack([first, second, torch.zeros(4)])
    torch.testing.assert_close(model.item_vectors(), expected)
    assert model.of_items.weights(model.graph.features["item"]).T.tolist() == [[0.5, 0.5], [0, 1], [0, 0]]


def test_attention_by_hand() -> None:
    """With logits ln 3 and 0 item 0 is three parts text and one part image; item 1 has nothing to choose from."""
    model = fitted()
    features = model.graph.features["item"]
    sent = model.of_items.project["text"][:, 0].detach() / 1.25**0.5
    with torch.no_grad():
        model.of_items.query["text"].copy_(sent * np.log(3) / sent.square().sum())
    torch.testing.assert_close(model.of_items.weights(features).T, torch.tensor([[0.25, 0.75], [0, 1], [0, 0]]))


def test_attention_agrees_with_a_plain_one() -> None:
    generator = np.random.default_rng(0)
    values = {
        "a": generator.normal(size=(7, 3)),
        "b": generator.normal(size=(7, 2)),
        "c": generator.normal(size=(7, 1)),
    }
    values["a"][:3], values["b"][2:5], values["c"][2] = NAN, NAN, NAN
    layer = ModalityAttention({"a": 3, "b": 2, "c": 1}, 5)
    features = {name: torch.tensor(array, dtype=torch.float32) for name, array in values.items()}
    layer.reset(features, generator_for(1))
    for query in layer.query.values():
        torch.nn.init.normal_(query, generator=generator_for(2))
    found = layer(features).detach().numpy()
    for node in range(7):
        sent = {
            name: layer.project[name].detach().numpy() @ array[node] / np.sqrt(np.nanmean(array**2))
            for name, array in values.items()
            if not np.isnan(array[node, 0])
        }
        odds = {name: np.exp(layer.query[name].detach().numpy() @ vector) for name, vector in sent.items()}
        expected = sum(odds[name] * vector for name, vector in sent.items()) / sum(odds.values()) if sent else 0
        np.testing.assert_allclose(found[node], expected, atol=1e-5)


def test_users_are_what_they_used() -> None:
    model = fitted()
    items = model.item_vectors()
    torch.testing.assert_close(model.user_vectors(), torch.stack([(items[0] + items[1]) / 2, items[1]]))
    torch.testing.assert_close(model.score_block(torch.tensor([1])), (model.user_vectors()[1] @ items.T)[None])


def test_attributes_of_users_come_in() -> None:
    model = fitted(described(user={"text": torch.tensor([[NAN], [2.0]])}))
    items = model.item_vectors()
    own = model.of_users.project["text"][:, 0].detach()
    torch.testing.assert_close(model.user_vectors()[1], own + items[1])
    torch.testing.assert_close(model.user_vectors()[0], (items[0] + items[1]) / 2)


def test_a_newcomer_is_the_mean_of_the_items_used() -> None:
    model = fitted()
    items = model.item_vectors()
    folded = model.fold_in(pairs([(0, 0), (0, 1)], 2, 3))
    torch.testing.assert_close(folded, torch.stack([(items[0] + items[1]) / 2 @ items.T, torch.zeros(3)]))
    torch.testing.assert_close(model.score_block(torch.tensor([0])), folded[:1])
    in_order = pairs([(0, 0), (0, 1)], 2, 3).with_value(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(model.fold_in(in_order), folded)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_the_item_to_be_found_is_not_in_the_mean(loss: str) -> None:
    model = fitted(loss=loss, l2=0.5, temperature=0.2).train()
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]), generator_for(0))
    items = model.of_items(model.graph.features["item"])
    user = torch.stack([items[1], torch.zeros(4)])
    positive = items[[0, 1]]
    if loss == "bpr":
        expected = bpr_loss(user, positive, items[[2, 0]])
    else:
        expected = softmax_loss(user, positive, torch.tensor([[True, True], [False, True]]), 0.2)
    torch.testing.assert_close(model.loss(batch), expected + 0.5 * l2_penalty(user, positive))


def test_gradients_are_finite_where_nothing_is_known() -> None:
    model = fitted().train()
    model.loss(Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]), generator_for(0))).backward()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(grads) == 4 and all(bool(grad.isfinite().all()) for grad in grads)


def test_without_attention_the_queries_stay() -> None:
    model = fitted(attention=False)
    trained = model.parameter_groups(0.1)[0]["params"]
    assert len(trained) == 2 and not any(parameter is model.of_items.query["text"] for parameter in trained)


def test_without_features_of_items_it_says_so() -> None:
    assert Content.obstacle(hand_graph(), ContentSettings()) == "the data has no features of items"
    assert Content.obstacle(described(), ContentSettings()) is None
    assert MODELS["content"] is Content


def test_one_user_one_item_and_no_edges() -> None:
    none = np.zeros(0, np.int64)
    graph = assemble((1, 1, 0), ["interacts"], none, none, none, {"item": {"x": torch.tensor([[2.0]])}})
    model = fitted(graph)
    assert model.score_block(torch.tensor([0])).shape == (1, 1)
    assert model.fold_in(pairs([], 1, 1)).tolist() == [[0.0]]


def test_it_is_saved_as_it_is() -> None:
    model = fitted()
    twin = model.on_graph(model.graph)
    torch.testing.assert_close(twin.score_block(torch.tensor([0, 1])), model.score_block(torch.tensor([0, 1])))


def test_taking_over_needs_the_same_features() -> None:
    model = fitted()
    now = torch.arange(5)
    twin = fitted()
    with torch.no_grad():
        model.of_items.query["text"].add_(1)
    twin.take_over(model, now[1:], now[1:])
    assert torch.equal(twin.of_items.query["text"], model.of_items.query["text"])
    changed = fitted(described(item={"text": TEXT * 2, "image": IMAGE}))
    with pytest.raises(UsageError, match="the features of items are not those"):
        changed.take_over(model, now, now)
    changed.take_over(model, now[4:], now[4:])  # of the item that both know nothing is known


def test_it_learns_and_finds_items_that_nobody_has_used() -> None:
    """Readers of one genre each; a book of it that nobody has read is listed before other such books."""
    genre = np.arange(40) % 4
    rows = [(user, item) for user in range(40) for item in range(36) if genre[item] == user % 4]
    features = {"item": {"text": torch.eye(4)[genre]}}
    source, target = np.array(rows).T
    graph = assemble((40, 40, 0), ["interacts"], source, target + 40, np.zeros(len(rows), np.int64), features)
    losses = []
    for _ in range(2):
        model = Content(graph, ContentSettings(width=8))
        config = TrainingConfig(epochs=5, batch_size=64, learning_rate=0.05, patience=0)
        losses.append([row.loss for row in Trainer(model, config, seed=1).run().history])
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]
    scores = model.score_block(torch.arange(4))[:, 36:]
    assert scores.argmax(dim=1).tolist() == [0, 1, 2, 3]


def test_read_built_and_scored() -> None:
    world = synthetic.generate(seed=3, num_users=30, num_items=30)
    data = read_dataset(world.interactions, items=world.items, users=world.users)
    graph = build_graph(data, (Part.FIT,))
    model = fitted(graph)
    assert set(model.of_items.project) == {"text", "numbers"} and set(model.of_users.project) == {"text"}
    assert bool(model.score_block(torch.arange(30)).isfinite().all())
