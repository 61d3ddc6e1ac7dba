"""The graph-attention model: its start, its terms, folding in, attention read back."""

from __future__ import annotations

import math

import pytest
import torch

from graphrec.config import make_config
from graphrec.errors import UsageError
from graphrec.models import GAT, GATSettings, LightGCN, LightGCNSettings
from graphrec.sampling import Batch, generator_for
from tests.worlds import hand_graph, pairs


def fitted(*, learned: bool = True, **settings: object) -> GAT:
    model = GAT(hand_graph(), GATSettings(**{"width": 4, "layers": 2, "heads": 2, "relation_gain": True} | settings))
    model.reset(generator_for(0))
    if learned:
        for index, parameter in enumerate(model.attention.parameters()):
            torch.nn.init.normal_(parameter, generator=generator_for(9, index))
    return model.eval()


def test_without_knowledge_it_starts_as_lightgcn() -> None:
    gat = fitted(learned=False, knowledge=False)
    lightgcn = LightGCN(hand_graph(), LightGCNSettings(width=4, layers=2))
    lightgcn.load_state_dict({"table": gat.table})
    users = torch.tensor([0, 1])
    assert torch.allclose(gat.score_block(users), lightgcn.eval().score_block(users), atol=1e-6)


def test_knowledge_reaches_an_item_nobody_used() -> None:
    """Item 2 shares the genre of item 1, so after two layers it knows of item 1; without knowledge it does not."""
    for knowledge, reached in ((True, True), (False, False)):
        model = fitted(knowledge=knowledge)
        model.train()
        model.propagate()[4].sum().backward()
        assert model.table.grad is not None
        assert bool(model.table.grad[3].abs().sum() > 0) is reached


def factors_of_relations(model: GAT) -> torch.Tensor:
    """f_t = exp(8 tanh(m_t / 8)) of the first layer, [R, W]."""
    return (8 * torch.tanh(model.attention[0].relation_gain.detach() / 8)).exp().flatten(1)


def message_factors(model: GAT) -> torch.Tensor:
    """c_i α_ij f_t of the only layer and head, for every edge, [E, W]; ``edge_weights`` has the mean over W."""
    csr = model.graph.adjacency
    weights = model.edge_weights(torch.arange(csr.num_edges))[0].detach()[:, None]
    scale = factors_of_relations(model)[csr.edge_type]
    return weights / scale.mean(dim=1, keepdim=True) * scale


def vectors_in_the_loss(model: GAT, batch: Batch) -> torch.Tensor:
    """The final vectors that a step's loss is made of, [n, W]."""
    caught = []
    model.batch_loss = lambda batch, final, first: caught.append(final) or final.sum()  # type: ignore[method-assign]
    model.loss(batch)
    return caught[0]


def test_a_step_does_not_see_the_edge_that_it_is_to_predict() -> None:
    """One layer: what user 0 and item 0 send each other is taken out of both; the negative, item 2, is as it is."""
    one_head = fitted(layers=1, heads=1, own_edges=False)
    csr = one_head.graph.adjacency
    e, final = one_head.table.detach(), one_head.propagate().detach()
    factors = message_factors(one_head)
    factor = dict(zip(zip(csr.row_index().tolist(), csr.col.tolist(), strict=True), factors, strict=True))
    batch = Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]), generator_for(1))
    user, item, negative = vectors_in_the_loss(one_head, batch).detach()
    assert torch.allclose(user, final[0] - factor[0, 2] * e[2] / 2, atol=1e-6)
    assert torch.allclose(item, final[2] - factor[2, 0] * e[0] / 2, atol=1e-6)
    assert torch.allclose(negative, final[4], atol=1e-6)


def test_with_own_edges_a_step_sees_what_lists_are_made_from() -> None:
    model = fitted(own_edges=True)
    batch = Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]), generator_for(1))
    assert torch.allclose(vectors_in_the_loss(model, batch), model.propagate()[[0, 2, 4]], atol=1e-6)


@pytest.mark.parametrize("score", ["dot", "additive", "v2"])
def test_every_score_starts_as_lightgcn_and_learns(score: str) -> None:
    gat = fitted(learned=False, knowledge=False, score=score, own_edges=False)
    lightgcn = LightGCN(hand_graph(), LightGCNSettings(width=4, layers=2))
    lightgcn.load_state_dict({"table": gat.table})
    users = torch.tensor([0, 1])
    assert torch.allclose(gat.score_block(users), lightgcn.eval().score_block(users), atol=1e-6)
    gat.train()
    gat.loss(Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]), generator_for(1))).backward()
    learned = gat.attention[1].scale if score == "dot" else gat.attention[1].vector
    assert learned.grad is not None and learned.grad.abs().sum() > 0


def test_the_fact_loss_by_hand() -> None:
    """Both facts have tail 5; with w = 1 the loss of (h, genre, 5) against t' is −ln σ(⟨e_h, e_5 − e_t'⟩)."""
    model = fitted(learned=False, knowledge_weight=1.0)
    e = model.table.detach()
    possible = {
        (head, other): -torch.nn.functional.logsigmoid(e[head] @ (e[5] - e[other])).item()
        for head in (3, 4)
        for other in (2, 3, 4, 5)
    }
    drawn = [model.fact_loss(1, generator_for(7, number)).item() for number in range(40)]
    nearest = [min(abs(loss - value) for value in possible.values()) for loss in drawn]
    assert max(nearest) < 1e-6
    assert len({round(loss, 5) for loss in drawn}) == len({round(value, 5) for value in possible.values()}) == 4


def test_without_facts_the_fact_loss_is_nothing() -> None:
    model = GAT(hand_graph(knowledge=False), GATSettings(width=4, layers=1, heads=2, knowledge_weight=1.0))
    assert model.fact_loss(3, generator_for(1)) == 0


def test_messages_are_scaled_by_their_relation() -> None:
    """Item 1 has two users' messages, doubled in the first place, and a fact's, tripled in the last."""
    model = fitted(learned=False, layers=1, heads=1)
    gain = model.attention[0].relation_gain.data
    gain[model.graph.relations.index("interacts"), 0, 0] = 8 * math.atanh(math.log(2) / 8)
    gain[model.graph.relations.index("rev_genre"), 0, 3] = 8 * math.atanh(math.log(3) / 8)
    e, csr = model.table.detach(), model.graph.adjacency
    weights = model.row_scale[3] * torch.tensor([model.degree[n] ** -0.5 for n in (0, 1, 5)])
    weights = weights / torch.tensor([model.degree[n] ** -0.5 for n in (0, 1, 5)]).sum()
    assert csr.rows(3).tolist() == [0, 1, 5]
    users, fact = weights[0] * e[0] + weights[1] * e[1], weights[2] * e[5]
    expected = users * torch.tensor([2.0, 1, 1, 1]) + fact * torch.tensor([1.0, 1, 1, 3])
    assert torch.allclose(model.propagate()[3], (e[3] + expected) / 2, atol=1e-6)


@pytest.mark.parametrize("own_edges", [True, False])
def test_messages_stay_bounded_however_far_their_scale_has_gone(own_edges: bool) -> None:
    """f is at most e⁸, and so are products of two vectors of two layers; large scores weigh an edge by 1 at most."""
    model = fitted(own_edges=own_edges)
    for layer in model.attention:
        layer.relation_gain.data.fill_(1e3)
        layer.scale.data.fill_(1e12)
    largest = model.table.detach().abs().max() * (model.row_scale.max() * math.e**8) ** 2
    assert model.propagate().detach().abs().max() <= largest
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 2]), generator_for(1))
    loss = model.loss(batch)
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_items_that_nobody_used_are_what_knowledge_says() -> None:
    model = fitted(layers=1, learned=False)
    assert model.table[4].abs().sum() == 0
    assert torch.allclose(model.propagate()[4], model.table[5] / 2**0.5 / 2, atol=1e-6)


def test_degrees_are_those_of_the_interactions_where_there_are_some() -> None:
    """Users 2 and 1; items 1, 2, and of item 2, which nobody used, its one fact; the entity's two facts."""
    model = fitted(layers=1)
    assert model.degree.tolist() == [2, 1, 1, 2, 1, 2]
    own, shared = 1 / 2**0.5, 1 / 2 + 1 / 2**0.5
    entity = 1 / 4**0.5 + 1 / 2**0.5  # items 1 and 2
    assert torch.allclose(model.row_scale, torch.tensor([own + 1 / 2, own, own, shared, own, entity]), atol=1e-6)


def test_pruned_knowledge_sends_nothing() -> None:
    for settings in ({"hub_facts": 1}, {"without_relations": ("genre",)}):
        model = fitted(**settings)
        assert torch.allclose(model.propagate()[4], torch.zeros(4))


@pytest.mark.parametrize("layers", [1, 2])
def test_some_rows_alone_are_the_same(layers: int) -> None:
    model, rows = fitted(layers=layers), torch.tensor([4, 0, 3])
    given = [*model.parameters()]
    whole, (some, first) = model.propagate()[rows], model.propagate_to(rows)
    assert torch.allclose(some, whole, atol=1e-6) and torch.equal(first, model.table[rows])
    for ours, expected in zip(
        torch.autograd.grad(some.square().sum(), given),
        torch.autograd.grad(whole.square().sum(), given),
        strict=True,
    ):
        assert torch.allclose(ours, expected, atol=1e-5)


def test_folding_in_weighs_like_a_layer() -> None:
    """One layer: a newcomer's layer 0 is zero, so scores are r- and degree-terms alone, equal to LightGCN's weights."""
    model = fitted(layers=1)
    e = model.table.detach()
    newcomer = model.fold_in_vectors(pairs([(0, 0), (0, 1)], 1, 3))[0]
    gain = factors_of_relations(model)[model.graph.relations.index("rev_interacts")]
    assert torch.allclose(newcomer, gain * (e[2] / 2**0.5 + e[3] / 4**0.5) / 2, atol=1e-6)  # d: 2; items 1 and 2


def test_edge_weights_rebuild_the_layer() -> None:
    one_head = fitted(heads=1, layers=1)
    csr, e = one_head.graph.adjacency, one_head.table.detach()
    received = torch.zeros_like(e).index_add(0, csr.row_index(), message_factors(one_head) * e[csr.col.long()])
    assert torch.allclose(one_head.propagate(), (e + received) / 2, atol=1e-6)


def test_dropout_is_on_only_in_training_and_repeats() -> None:
    model = fitted(attention_dropout=0.5, message_dropout=0.5)
    quiet = model.propagate()
    noisy = [model.propagate(generator_for(4)) for _ in range(2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.allclose(noisy[0], quiet)
    assert torch.equal(model.propagate(), quiet)


def test_a_step_reaches_every_parameter() -> None:
    model = fitted().train()
    model.loss(Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]), generator_for(0))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("heads", 3, "heads must be a divisor of width 64, got 3"),
        ("layers", 0, "layers must be >= 1, got 0"),
        ("attention_dropout", 1.0, r"attention_dropout must be in \[0, 1\), got 1.0"),
        ("loss", "hinge", "loss must be one of bpr, softmax, bsl, alignment_uniformity, got hinge"),
        ("temperature", 0.0, "temperature must be > 0, got 0.0"),
        ("negative_weight", 0.0, "negative_weight must be > 0, got 0.0"),
        ("uniformity", -1.0, "uniformity must be >= 0, got -1.0"),
    ],
)
def test_settings_say_what_is_wrong(field: str, value: object, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        GATSettings(**{field: value})


def test_every_parameter_is_trained() -> None:
    model = fitted(knowledge_weight=0.5)
    grouped = {id(parameter) for group in model.parameter_groups(0.1) for parameter in group["params"]}
    assert grouped == {id(parameter) for parameter in model.parameters()}


def test_scores_learn_faster_than_factors_of_messages() -> None:
    model = fitted(relation_gain=True)
    rates = {id(own): group["lr"] for group in model.parameter_groups(0.1) for own in group["params"]}
    named = {name: rates[id(own)] for name, own in model.attention.named_parameters()}
    assert {rate for name, rate in named.items() if name.endswith("relation_gain")} == {0.1}
    assert {rate for name, rate in named.items() if not name.endswith("relation_gain")} == {0.4}


def test_knowledge_loss_needs_the_whole_graph() -> None:
    with pytest.raises(UsageError, match="knowledge_weight of gat is for the whole graph"):
        make_config("gat", sampling="neighbor", knowledge_weight=0.1)


def test_an_edge_that_may_be_dropped_cannot_be_taken_out() -> None:
    with pytest.raises(UsageError, match="attention_dropout must be 0 where own_edges is False"):
        GATSettings(own_edges=False, attention_dropout=0.1)
