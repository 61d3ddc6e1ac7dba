"""Training on samples: with all neighbours it is the whole graph's propagation, with some an estimate of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphrec.config import TrainingConfig, make_config
from graphrec.data import Part
from graphrec.errors import UsageError
from graphrec.graph import build_graph
from graphrec.models import GAT, EmbeddingModel, GATSettings, LightGCN, LightGCNSettings
from graphrec.sampling import ALL, Batch, Fanout, NeighborSampler, blocks_of, generator_for
from graphrec.training import Epoch, Trainer, part_csr
from graphrec.training.sampled import SampledStep, ahead
from tests.views import FixedVectors
from tests.worlds import hand_graph, small_world

WORLD = small_world()
SELECT = part_csr(WORLD, Part.SELECT)
CONFIG = TrainingConfig(epochs=6, batch_size=128, learning_rate=0.1, patience=0, sampling="neighbor", fanout=(5, 3))
KINDS = ["lightgcn", "gat"]


def model_on(graph, kind: str, layers: int = 2, **settings: object) -> EmbeddingModel:
    if kind == "lightgcn":
        model: EmbeddingModel = LightGCN(graph, LightGCNSettings(width=8, layers=layers, **settings))
    else:
        model = GAT(graph, GATSettings(width=8, heads=2, layers=layers, relation_gain=True, **settings))
    model.reset(generator_for(1))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            if parameter is not model.table:
                parameter.normal_(generator=generator_for(2, number))
    return model.eval()


def world_model(kind: str, **settings: object) -> EmbeddingModel:
    return model_on(build_graph(WORLD), kind, **settings)


def sampled(model: EmbeddingModel, fanout: Fanout, seeds: torch.Tensor, seed: int = 0, removed=None) -> torch.Tensor:
    sampler = NeighborSampler(model.graph, fanout)
    sample = sampler.sample(seeds, seed=seed, removed=removed)
    first = model.table[sample.nodes]
    return model.propagate_sample(blocks_of(sampler, sample), first, sample.num_seeds).detach()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("graph", ["hand", "world"])
def test_all_neighbours_are_the_whole_graph(kind: str, graph: str) -> None:
    model = model_on(hand_graph(), kind) if graph == "hand" else world_model(kind)
    seeds = torch.arange(model.graph.num_nodes).flip(0)[::2]
    whole = model.propagate().detach()[seeds]
    assert torch.allclose(sampled(model, (ALL, ALL), seeds), whole, atol=1e-5)


def test_kinds_drawn_apart_share_one_softmax() -> None:
    model = world_model("gat")
    seeds = torch.arange(model.graph.num_nodes)
    apart = {"interacts": (ALL, ALL)} | dict.fromkeys(model.graph.relations[2::2], (ALL, ALL))
    assert torch.allclose(sampled(model, apart, seeds), model.propagate().detach(), atol=1e-5)


def test_a_drawn_edge_stands_for_as_many_as_were_left_out() -> None:
    """Item 1 has users 0 and 1 (degrees 2 and 1): one drawn edge counts twice, so the mean of both draws is exact."""
    model = model_on(hand_graph(knowledge=False), "lightgcn", layers=1)
    found = torch.stack([sampled(model, (1,), torch.tensor([3]), seed)[0] for seed in range(40)])
    e = model.table.detach()
    draws = {user: (e[3] + 2 * e[user] / (2 * degree) ** 0.5) / 2 for user, degree in ((0, 2), (1, 1))}
    counts = [int(torch.isclose(found, draw, atol=1e-6).all(dim=1).sum()) for draw in draws.values()]
    assert sum(counts) == 40 and min(counts) > 8


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_near_the_whole_graph_on_average(kind: str) -> None:
    model, seeds = world_model(kind), torch.arange(60)
    if kind == "gat":  # at LightGCN's weights, where drawing some of the edges favours none
        for parameter in model.attention.parameters():
            torch.nn.init.zeros_(parameter)
    whole = model.propagate().detach()[seeds]
    mean = torch.stack([sampled(model, (4, 4), seeds, seed) for seed in range(300)]).mean(dim=0)
    bound = 0.03 if kind == "lightgcn" else 0.05  # a softmax over some of the edges is a little biased
    assert (mean - whole).norm() / whole.norm() < bound


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_loses_all_edges_keeps_its_own_vector(kind: str) -> None:
    """User 1 used item 1 alone; without that pair its vector stays what it is, and item 1 keeps user 0."""
    model = model_on(hand_graph(knowledge=False), kind, layers=1)
    pair = (torch.tensor([1]), torch.tensor([3]))
    vectors = sampled(model, (ALL,), torch.tensor([1, 3]), removed=pair)
    assert torch.allclose(vectors[0], model.table[1])
    assert not torch.allclose(vectors[1], model.table[3])


def test_a_node_without_any_edge_is_as_in_the_whole_graph() -> None:
    model = model_on(hand_graph(knowledge=False), "lightgcn")
    assert torch.allclose(sampled(model, (2, 2), torch.tensor([4]))[0], model.table[4] / 3)


def test_a_step_changes_the_sample_s_rows_alone() -> None:
    model = world_model("lightgcn").train()
    trainer = Trainer(model, CONFIG.model_copy(update={"batch_size": 2, "pool": 1}), seed=1)
    before = model.table.detach().clone()
    prepared = next(trainer.step.prepared(trainer.batches.epoch(1)))
    trainer.step(prepared)
    changed = (model.table != before).any(dim=1).nonzero()[:, 0]
    assert 0 < len(changed) <= len(prepared.nodes) < model.graph.num_nodes
    assert set(changed.tolist()) <= set(prepared.nodes.tolist())


def test_no_pair_to_predict_is_an_edge_of_its_sample() -> None:
    model = world_model("gat")
    trainer = Trainer(model, CONFIG.model_copy(update={"fanout": (ALL, ALL)}), seed=1)
    for prepared in trainer.step.prepared(trainer.batches.epoch(1)):
        positive = prepared.batch.positive + model.graph.num_users
        pairs = set(zip(prepared.batch.user.tolist(), positive.tolist(), strict=True))
        for block in prepared.blocks:
            receiver, sender = block.receivers[block.csr.row_index()], block.senders[block.csr.col.long()]
            edges = set(zip(receiver.tolist(), sender.tolist(), strict=True))
            assert not edges & pairs and not {(col, row) for row, col in edges} & pairs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"optimizer": "adagrad", "learning_rate": 0.3}, {"pool": 64}])
def test_the_loss_falls_and_two_runs_match(kind: str, options: dict[str, object]) -> None:
    models = [world_model(kind) for _ in range(2)]
    config = CONFIG.model_copy(update=options)
    histories = [Trainer(model, config, seed=1, select=SELECT).run().history for model in models]
    assert histories[0][-1].loss < 0.9 * histories[0][0].loss
    assert [row.loss for row in histories[0]] == [row.loss for row in histories[1]]
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))


def test_a_table_of_half_the_bytes_learns_too() -> None:
    model = world_model("gat", storage="bfloat16")
    history = Trainer(model, CONFIG, seed=1, select=SELECT).run().history
    assert model.table.dtype == torch.bfloat16
    assert history[-1].loss < 0.9 * history[0].loss
    assert model.score_block(torch.tensor([0])).dtype == torch.float32


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path, optimizer: str) -> None:
    config = CONFIG.model_copy(update={"optimizer": optimizer})
    whole, resumed = (world_model("gat", attention_dropout=0.1, message_dropout=0.1) for _ in range(2))
    Trainer(whole, config, seed=1, select=SELECT).run()

    def stop(row: Epoch) -> None:
        if row.epoch == 2:
            raise KeyboardInterrupt

    path = tmp_path / "gat.safetensors"
    with pytest.raises(KeyboardInterrupt):
        Trainer(world_model("gat", attention_dropout=0.1, message_dropout=0.1), config, seed=1, select=SELECT,
                checkpoint=path, on_epoch=stop).run()  # fmt: skip
    Trainer(resumed, config, seed=1, select=SELECT, checkpoint=path).run()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_bpr_shares_a_pool_where_neighbours_are_sampled() -> None:
    batch = next(Trainer(world_model("lightgcn"), CONFIG, seed=1).batches.epoch(1))
    assert batch.pooled and len(batch.negative) == 32
    softmax = next(Trainer(world_model("lightgcn", loss="softmax"), CONFIG, seed=1).batches.epoch(1))
    assert isinstance(softmax, Batch) and not softmax.pooled


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(UsageError, match="the fan-out has 2 hops, lightgcn has 3 layers"):
        Trainer(world_model("lightgcn", layers=3), CONFIG, seed=1)
    with pytest.raises(UsageError, match="names no kind of edge"):
        Trainer(world_model("gat"), CONFIG.model_copy(update={"fanout": {"intracts": (5, 3)}}), seed=1)
    fixed = FixedVectors(hand_graph(knowledge=False), torch.ones(2, 4), torch.ones(3, 4))
    sampler = NeighborSampler(fixed.graph, (2,) * fixed.settings.layers)
    step = SampledStep(fixed, torch.device("cpu"), None, None, sampler)
    with pytest.raises(UsageError, match="fixed runs on the whole graph alone"):
        step(step.prepare(Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]), generator_for(0))))


def test_settings_that_do_not_go_together_are_refused() -> None:
    assert make_config("gat", sampling="neighbor", fanout=(15, 10)).models["gat"].layers == 2
    with pytest.raises(UsageError, match="fanout is for sampling neighbours"):
        make_config("gat", fanout=(15, 10))
    with pytest.raises(UsageError, match="storage bfloat16 of gat is for sampling neighbours"):
        make_config("gat", storage="bfloat16")
    with pytest.raises(UsageError, match="pool_by popularity is for the softmax loss"):
        make_config("gat", pool=100, pool_by="popularity")


def test_a_consumer_may_stop_early() -> None:
    begun = []
    values = ahead(lambda value: begun.append(value) or value, range(100))
    assert next(values) == 0
    values.close()
    assert len(begun) < 10


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_a_step_is_what_it_is_on_the_cpu(kind: str) -> None:
    """Graph, table and optimisers stay in the machine's memory; only samples go to the device."""
    models = [world_model(kind) for _ in range(2)]
    losses = [
        [row.loss for row in Trainer(model, CONFIG, seed=1, device=torch.device(device)).run().history]
        for model, device in zip(models, ("cpu", "cuda"), strict=True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert all(parameter.device.type == "cpu" for parameter in models[1].parameters())
