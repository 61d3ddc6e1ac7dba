"""The history model: by hand, against dense numpy, and what order, masking and ranking promise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import graphrec
from graphrec.config import make_config
from graphrec.errors import DataError, UsageError
from graphrec.explain import explain_pair
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.models import MODELS, History, HistorySettings, TrainedModel, build_model, make_settings, pooling
from graphrec.models.timeline import Timeline
from graphrec.sampling import Batch, BatchSampler, generator_for
from graphrec.sparse import CSR
from graphrec.training import fit_model
from tests.worlds import pairs, small_world

# user 0: items 0 1 3, user 1: items 1 2, user 2: item 4, user 3: nothing; item 5 unused
ROWS = [(0, 0), (0, 1), (0, 3), (1, 1), (1, 2), (2, 4)]
TIMES = [30, 10, 20, 7, 5, 1]
WORLD = small_world()


def graph_of(rows: Sequence[tuple[int, int]] = ROWS, num_users: int = 4, num_items: int = 6) -> HeteroGraph:
    user, item = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return assemble((num_users, num_items, 0), ["interacts"], user, item + num_users, np.zeros(len(user), np.int64))


def timed() -> HeteroGraph:
    return replace(graph_of(), times=torch.tensor(TIMES))


def made(graph: HeteroGraph | None = None, *, drawn: bool = False, **settings: object) -> History:
    model = History(timed() if graph is None else graph, HistorySettings(**{"width": 4, **settings}))
    model.reset(generator_for(0))
    if drawn:  # as if it had learned something
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(generator=generator_for(1, len(parameter)))
    return model.eval()


def batch_of(model: History, **options: object) -> Batch:
    return next(BatchSampler(model.graph.seen, 9, 0, whole_users=True, **options).epoch(1))


def dense_scores(model: History, used: np.ndarray) -> np.ndarray:
    """The docstring's equation, a loop over people, candidates and heads."""
    v, w = model.table.detach().double().numpy(), model.table.detach().double().numpy()
    attention, heads, beta = model.pool.attention, model.settings.heads, model.settings.smoothing
    query = w @ attention.weight.detach().double().numpy().T + attention.bias.detach().double().numpy()
    size, scores = v.shape[1] // heads, np.zeros((len(used), len(w)))
    for person, candidate in np.ndindex(scores.shape):
        others = [item for item in np.flatnonzero(used[person]) if item != candidate]
        for head in range(heads if others else 0):
            part = slice(head * size, (head + 1) * size)
            logit = v[others, part] @ query[candidate, part] / np.sqrt(size)
            value = v[others, part] @ w[candidate, part]
            weight = np.exp(logit) / np.exp(logit).sum() ** beta * len(others) ** (beta - 1)
            scores[person, candidate] += weight @ value
    return scores


def used_of(graph: HeteroGraph) -> np.ndarray:
    used = np.zeros((graph.num_users, graph.num_items), dtype=bool)
    used[graph.seen.row_index().numpy(), graph.seen.col.numpy()] = True
    return used


def test_the_mean_by_hand() -> None:
    model = made(pooling="mean")
    v, w = model.table, model.table
    scores = model.score_block(torch.arange(4))
    assert scores[0, 5].item() == pytest.approx(((v[0] + v[1] + v[3]) / 3 @ w[5]).item(), abs=1e-7)
    assert scores[2, 0].item() == pytest.approx((v[4] @ w[0]).item(), abs=1e-7)
    assert scores[3].tolist() == [0] * 6


@pytest.mark.parametrize(("heads", "smoothing"), [(1, 1.0), (1, 0.5), (2, 0.0), (4, 0.7)])
def test_attention_starts_as_the_mean(heads: int, smoothing: float) -> None:
    attention, mean = made(heads=heads, smoothing=smoothing), made(pooling="mean")
    unused = torch.from_numpy(~used_of(attention.graph))
    scores, expected = (model.score_block(torch.arange(4)) for model in (attention, mean))
    assert torch.allclose(scores[unused], expected[unused], atol=1e-7)
    assert torch.allclose(attention.loss(batch_of(attention)), mean.loss(batch_of(mean)), atol=1e-6)


@pytest.mark.parametrize(("heads", "smoothing"), [(1, 1.0), (2, 0.5), (4, 0.0)])
def test_attention_equals_the_dense_formula(heads: int, smoothing: float) -> None:
    model = made(drawn=True, heads=heads, smoothing=smoothing)
    expected = dense_scores(model, used_of(model.graph))
    assert np.allclose(model.score_block(torch.arange(4)).numpy(), expected, atol=1e-4)
    scored = model.pool.score_pairs(model, batch_of(model), torch.arange(6))
    assert np.allclose(scored.scores.detach().numpy(), expected[scored.user.numpy()], atol=1e-4)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(drawn=True)
    whole = model.score_block(torch.arange(4))
    monkeypatch.setattr(pooling, "_BLOCK_NUMBERS", 7)
    assert torch.allclose(model.score_block(torch.arange(4)), whole, atol=1e-6)


def test_very_large_logits_stay_finite() -> None:
    model = made(drawn=True)
    with torch.no_grad():
        model.pool.attention.weight.mul_(1e4)
    assert bool(model.score_block(torch.arange(4)).isfinite().all())
    model.loss(batch_of(model)).backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_the_softmax_loss_by_hand(kind: str) -> None:
    """User 2's only item has no other to speak for it, and does not count; items of others are the negatives."""
    model = made(pooling=kind, loss="softmax", temperature=0.5, l2=0.0)
    batch, v = batch_of(model), model.table
    odds = {0: 1, 1: 2, 2: 1, 3: 1, 4: 1}  # how often each of 6 items comes among 6 pairs
    losses = []
    for own in ([0, 1, 3], [1, 2]):
        others = [item for item in batch.positive.tolist() if item not in own]
        against = [v[own].mean(dim=0) @ v[item] / 0.5 - np.log(odds[item]) for item in others]
        for item in own:
            rest = [other for other in own if other != item]
            score = v[rest].mean(dim=0) @ v[item] / 0.5
            losses.append(torch.stack([score, *against]).logsumexp(dim=0) - score)
    assert torch.allclose(model.loss(batch), torch.stack(losses).mean(), atol=1e-6)


def test_the_bpr_loss_by_hand() -> None:
    model = made(pooling="mean", loss="bpr", l2=0.5)
    user, positive, negative = torch.tensor([1, 2]), torch.tensor([1, 4]), torch.tensor([5, 0])
    v, w = model.table, model.table
    margin = v[2] @ w[1] - (v[1] + v[2]) / 2 @ w[5]
    items = [0, 1, 4, 5]
    squares = w[items].square().sum() / 4
    expected = torch.log1p((-margin).exp()) + 0.5 * squares / 2
    assert torch.allclose(model.loss(Batch(user, positive, negative, generator_for(0))), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "attention", "sequence"])
@pytest.mark.parametrize("options", [{}, {"pool": 5}, {"pool": 5, "pool_by": "popularity"}])
@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_losses_have_gradients(kind: str, options: dict[str, object], loss: str) -> None:
    if loss == "bpr" and "pool_by" in options:
        return
    model = made(pooling=kind, loss=loss, dropout=0.3).train()
    value = model.loss(batch_of(model, **options))
    value.backward()
    assert bool(value.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert model.table.grad is not None and bool((model.table.grad != 0).any())


@pytest.mark.parametrize("kind", ["mean", "attention", "sequence"])
def test_a_batch_with_nothing_to_learn(kind: str) -> None:
    model = made(pooling=kind)
    batch = Batch(torch.tensor([2]), torch.tensor([4]), torch.tensor([0]), generator_for(0))
    model.loss(batch).backward()
    assert bool(model.loss(batch).isfinite())


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_folding_in_a_known_user_gives_that_users_scores(kind: str) -> None:
    model = made(drawn=True, pooling=kind)
    scores = model.score_block(torch.tensor([0, 3]))
    assert torch.allclose(model.fold_in(pairs(ROWS[:3], 2, 6)), scores, atol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_contributions_add_up(kind: str) -> None:
    model = made(drawn=True, pooling=kind, heads=2)
    history = model.used.take_rows(torch.tensor([0]))
    for item in range(6):
        added = model.contributions(history, item).sum().item()
        assert added == pytest.approx(model.score_block(torch.tensor([0]))[0, item].item(), abs=1e-4)


@pytest.mark.parametrize("kind", ["mean", "attention", "sequence"])
@pytest.mark.parametrize(
    "graph", [graph_of([]), graph_of([(0, 0)], 1, 1), graph_of([(0, 0)], 1, 1).interactions_only()]
)
def test_little_or_nothing_used(kind: str, graph: HeteroGraph) -> None:
    model = made(replace(graph, times=torch.arange(graph.seen.num_edges)), pooling=kind)
    scores = model.score_block(torch.arange(graph.num_users))
    assert scores.shape == (graph.num_users, graph.num_items) and bool(scores.isfinite().all())
    assert model.fold_in(pairs([], 1, graph.num_items)).tolist() == [[0.0] * graph.num_items]


def test_similarity_is_largest_with_itself() -> None:
    likeness = made().similarity_block(torch.arange(6))
    assert torch.allclose(likeness.diag(), torch.ones(6))
    assert bool((likeness <= likeness.diag()[:, None] + 1e-6).all())


@pytest.mark.parametrize("kind", ["mean", "attention", "sequence"])
def test_state_round_trip_through_a_file(kind: str, tmp_path: Path) -> None:
    model = made(drawn=True, pooling=kind)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    twin = History(timed(), model.settings)
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(twin.eval().score_block(torch.arange(4)), model.score_block(torch.arange(4)))


def test_the_order_of_use() -> None:
    timeline = Timeline.of_graph(timed())
    assert timeline.items.col.tolist() == [1, 3, 0, 2, 1, 4]
    items, count, gaps = timeline.take(torch.tensor([1, 0, 3])).windows(2)
    assert items.tolist() == [[2, 1], [3, 0], [-1, -1]]
    assert count.tolist() == [2, 2, 0]
    assert gaps is not None and gaps.tolist() == [[0, 2], [0, 10], [0, 0]]
    history = CSR.from_pairs([0, 0, 0], [0, 2, 4], 1, 6, value=[2.0, 0.0, 1.0])
    assert Timeline.of_history(history).items.col.tolist() == [2, 4, 0]


def states(model: History, items: list[int]) -> Tensor:
    return model.pool.encoder(model.table[items][None], None)[0]


def test_a_sequence_looks_back_only() -> None:
    model = made(drawn=True, pooling="sequence", history=4)
    assert torch.allclose(states(model, [1, 3, 0])[:2], states(model, [1, 3])[:2], atol=1e-5)
    assert not torch.allclose(states(model, [1, 3])[1], states(model, [3, 1])[1], atol=1e-3)


def test_a_sequence_equals_plain_numpy() -> None:
    model = made(drawn=True, pooling="sequence", blocks=1, heads=2, width=4)
    encoder = model.pool.encoder
    x = model.table[[1, 3, 0]] + encoder.place[:3] + encoder.gap[[0, 3, 3]]  # gaps 0, 10, 10: ⌊log₂ 11⌋ = 3
    x = x.detach().double().numpy()
    block = encoder.blocks[0]
    attend, mix, first, second = (
        getattr(block, name).detach().double().numpy() for name in ("attend", "mix", "first", "second")
    )

    def norm(rows: np.ndarray) -> np.ndarray:
        centred = rows - rows.mean(axis=1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)

    query, key, value = np.split(norm(x) @ attend.T, 3, axis=1)
    attended = np.zeros((3, 4))
    for place, head in np.ndindex(3, 2):
        part = slice(2 * head, 2 * head + 2)
        weight = np.exp(query[place, part] @ key[: place + 1, part].T / np.sqrt(2))
        attended[place, part] = weight / weight.sum() @ value[: place + 1, part]
    x = x + attended @ mix.T
    x = norm(x + np.maximum(norm(x) @ first.T, 0) @ second.T)
    expected = x[2] @ model.table.detach().double().numpy().T
    assert np.allclose(model.score_block(torch.tensor([0]))[0].numpy(), expected, atol=1e-4)


def test_a_pair_is_scored_by_the_state_before_it() -> None:
    model = made(drawn=True, pooling="sequence", history=2)
    batch = Batch(torch.tensor([0, 0, 0]), torch.tensor([1, 3, 0]), torch.tensor([2, 2, 2]), generator_for(0))
    scored = model.pool.score_pairs(model, batch, torch.arange(6))
    assert scored.valid.tolist() == [False, False, True]  # item 1 is older than the window, item 3 is its first
    gaps = torch.tensor([[0, 10]])
    state = model.pool.encoder(model.table[[3, 0]][None], gaps)[0, 0]
    assert torch.allclose(scored.scores[2], model.table @ state, atol=1e-4)


def test_a_sequence_folds_in_by_the_order_given() -> None:
    model = made(drawn=True, pooling="sequence")
    history = CSR.from_pairs([0, 0, 0], [0, 1, 3], 1, 6, value=[2.0, 0.0, 1.0])
    expected = states(model, [1, 3, 0])[2] @ model.table.T
    assert torch.allclose(model.fold_in(history)[0], expected, atol=1e-4)
    lost = model.contributions(CSR(torch.tensor([0, 3]), torch.tensor([1, 3, 0], dtype=torch.int32), 6), 5)
    without = states(model, [1, 0])[1] @ model.table[5]
    assert lost[1].item() == pytest.approx((expected[5] - without).item(), abs=1e-4)


def test_someone_new_has_an_order_and_no_time_gaps() -> None:
    """User 0 used 1, 3 and 0, ten units apart; who comes new with these items has no such gaps, however places lie."""
    model = made(drawn=True, pooling="sequence")
    known = model.score_block(torch.tensor([0]))
    near, far = (
        model.fold_in(CSR.from_pairs([0, 0, 0], [0, 1, 3], 1, 6, value=places)) for places in ([2, 0, 1], [20, 0, 10])
    )
    assert torch.equal(near, far)
    assert not torch.allclose(near, known, atol=1e-3)
    torch.nn.init.zeros_(model.pool.encoder.gap)
    assert torch.allclose(near, model.eval().score_block(torch.tensor([0])), atol=1e-5)


def test_a_sequence_needs_times() -> None:
    settings = HistorySettings(pooling="sequence")
    assert History.obstacle(timed(), settings) is None
    assert History.obstacle(graph_of(), settings) == "the data has no timestamps"
    assert History.obstacle(replace(graph_of(), times=torch.full((6,), -1)), settings) == "the data has no timestamps"
    assert History.obstacle(graph_of(), HistorySettings()) is None
    assert WORLD.interactions.timestamp is not None
    data = replace(WORLD, interactions=replace(WORLD.interactions, timestamp=None))
    with pytest.raises(DataError, match="history: the data has no timestamps"):
        graphrec.train(data, "history", pooling="sequence", epochs=1)


@pytest.mark.parametrize("kind", ["attention", "mean", "sequence"])
def test_training_lowers_the_loss_and_repeats(kind: str, tmp_path: Path) -> None:
    options: dict[str, object] = {
        "pooling": kind,
        "width": 8,
        "epochs": 3,
        "batch_size": 64,
        "seed": 1,
        "learning_rate": 0.05,
        "temperature": 0.3,
    }
    recommender = graphrec.train(WORLD, "history", **options)
    losses = recommender.run.history["loss"].tolist()
    assert losses[-1] < losses[0]
    again = fit_model(WORLD, make_config("history", **options)).model
    users = torch.arange(WORLD.num_users)
    assert torch.equal(again.score_block(users), recommender.model.score_block(users))
    recommender.save(tmp_path / "run")
    loaded, best = graphrec.load(tmp_path / "run").recommend(k=5), recommender.recommend(k=5)
    assert loaded["item_id"].equals(best["item_id"])
    assert np.allclose(loaded["score"], best["score"], atol=1e-5)


def test_neighbours_need_not_be_sampled() -> None:
    """A history reads its batch and no graph: it trains alike where other views sample."""
    options: dict[str, object] = {"width": 8, "epochs": 1, "batch_size": 512}
    full, sampled = (
        fit_model(WORLD, make_config("history", sampling=how, **options)).model for how in ("full", "neighbor")
    )
    users = torch.arange(WORLD.num_users)
    assert torch.equal(full.score_block(users), sampled.score_block(users))


@pytest.mark.parametrize("kind", ["attention", "sequence"])
def test_explanations_name_used_items(kind: str) -> None:
    model = made(drawn=True, pooling=kind)
    found = explain_pair(model, user=0, item=5)
    assert found.path_view == "history" and all(path.weight > 0 for path in found.paths)
    assert {path.nodes[1] - 4 for path in found.paths} <= {0, 1, 3}


def test_an_extended_run_keeps_what_it_learned() -> None:
    recommender = graphrec.train(WORLD, "history", width=8, epochs=1, batch_size=512)
    extended = recommender.extend(WORLD)
    users = torch.arange(WORLD.num_users)
    assert torch.equal(extended.model.score_block(users), recommender.model.score_block(users))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "fused"])
def test_places_in_time_are_no_weights(name: str) -> None:
    """Whatever the model, the values of a history say when; by default nobody reads them."""
    has_width = any(field.name == "width" for field in dataclasses.fields(MODELS[name].Settings))
    settings = make_settings(name, {"width": 4} if has_width else {})
    text = torch.randn(6, 3, generator=generator_for(2))
    model = build_model(name, replace(graph_of(), features={"item": {"text": text}}), {name: settings})
    if isinstance(model, TrainedModel):
        model.reset(generator_for(0))
    model.fit()
    history = CSR.from_pairs([0, 0], [1, 4], 1, 6)
    scores = model.eval().fold_in(history)
    assert torch.equal(model.fold_in(history.with_value(torch.tensor([3.0, 0.0]))), scores)


@pytest.mark.parametrize(
    ("field", "value"),
    [("pooling", "sum"), ("width", 0), ("heads", 3), ("smoothing", 1.5), ("blocks", 0), ("history", 1), ("loss", "mse"),
     ("temperature", 0.0), ("l2", -1.0), ("dropout", 1.0)],
)  # fmt: skip
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{field} must be .*, got {value}"):
        HistorySettings(**{field: value})
