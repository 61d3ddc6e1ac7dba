"""Every ranking loss through a model: what a batch gives it, that it trains, that used items never count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from graphrec.config import TrainingConfig, make_config
from graphrec.data import Part
from graphrec.errors import UsageError
from graphrec.graph import build_graph
from graphrec.losses import alignment_uniformity_loss, bilateral_softmax_loss, l2_penalty
from graphrec.models import LightGCN, LightGCNSettings
from graphrec.models.objective import LOSSES
from graphrec.sampling import Batch, generator_for, used_in_batch
from graphrec.training import Trainer, part_csr
from tests.worlds import hand_graph, small_world

WORLD = small_world()
GRAPH, SELECT = build_graph(WORLD), part_csr(WORLD, Part.SELECT)
CONFIG = TrainingConfig(epochs=3, batch_size=128, learning_rate=0.1, patience=0)
KINDS = [{"loss": loss} for loss in LOSSES] + [
    {"loss": "softmax", "layers": 0},
    {"loss": "bpr", "contrast": "simgcl"},
    {"loss": "bsl", "contrast": "xsimgcl"},
    {"loss": "softmax", "edge_dropout": 0.2},
]


def model_of(layers: int = 1, graph=GRAPH, **settings: object) -> LightGCN:
    model = LightGCN(graph, LightGCNSettings(width=8, layers=layers, **settings))
    model.reset(generator_for(3))
    return model


def gradient(model: LightGCN, batch: Batch) -> torch.Tensor:
    """Of a step from the batch's own draws."""
    generator = generator_for(batch.generator.initial_seed())
    model.zero_grad(set_to_none=True)
    model.loss(replace(batch, generator=generator)).backward()
    return model.table.grad.clone()


@pytest.mark.parametrize("settings", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_the_loss_falls_two_runs_match_and_a_step_forgets_the_batch_before(settings: dict[str, object]) -> None:
    models = [model_of(**settings) for _ in range(2)]
    trainers = [Trainer(model, CONFIG, seed=1, select=SELECT) for model in models]
    first, second = list(trainers[0].batches.epoch(1))[:2]
    models[0].train()
    alone = gradient(models[0], second)
    gradient(models[0], first)
    assert torch.equal(gradient(models[0], second), alone)
    histories = [trainer.run().history for trainer in trainers]
    assert histories[0][-1].loss < histories[0][0].loss - 0.01
    assert [row.loss for row in histories[0]] == [row.loss for row in histories[1]]
    assert torch.equal(models[0].table, models[1].table)


def test_only_losses_that_take_negatives_have_them_drawn() -> None:
    drawn = {loss: len(next(Trainer(model_of(loss=loss), CONFIG, seed=1).batches.epoch(1)).negative) for loss in LOSSES}
    assert drawn == {"bpr": 128, "softmax": 0, "bsl": 0, "alignment_uniformity": 0}


@pytest.mark.parametrize("loss", ["bsl", "softmax", "bpr"])
def test_a_used_item_of_the_pool_changes_nothing(loss: str) -> None:
    """User 0 used items 0 and 1: a pool of items 1 and 2 is one of item 2 alone."""
    model = model_of(graph=hand_graph(), loss=loss, l2=0.0, negative_weight=0.9).train()
    losses = [
        model.loss(Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor(pool), generator_for(0), pooled=True))
        for pool in ([1, 2], [2])
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)


def test_bsl_holds_the_batch_s_own_items_against() -> None:
    model = model_of(graph=hand_graph(), loss="bsl", temperature=0.3, negative_weight=0.9, l2=0.5).train()
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([], dtype=torch.int64), generator_for(0))
    final, e = model.propagate(), model.table
    used = used_in_batch(model.graph.seen, batch.user, batch.positive)  # user 0 has used both
    expected = bilateral_softmax_loss(final[:2], final[[2, 3]], final[[2, 3]], used, 0.3, 0.9)
    assert used.tolist() == [[True, True], [False, True]]
    assert torch.allclose(model.loss(batch), expected + 0.5 * l2_penalty(e[:2], e[[2, 3]]))


def test_alignment_takes_no_negatives() -> None:
    model = model_of(graph=hand_graph(), loss="alignment_uniformity", uniformity=2.0, l2=0.0).train()
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]), generator_for(0))
    final = model.propagate()
    assert torch.allclose(model.loss(batch), alignment_uniformity_loss(final[:2], final[[2, 3]], 2.0))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_on_samples(loss: str) -> None:
    config = CONFIG.model_copy(update={"sampling": "neighbor", "fanout": (5,), "epochs": 2})
    history = Trainer(model_of(loss=loss), config, seed=1).run().history
    assert history[-1].loss < history[0].loss


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(UsageError, match="a pool is for losses with negatives, and lightgcn has alignment_uniformity"):
        make_config("lightgcn", loss="alignment_uniformity", pool=100)
    for setting in ({"contrast": "xsimgcl"}, {"edge_dropout": 0.1}):
        (name,) = setting
        with pytest.raises(UsageError, match=f"{name} of lightgcn is for the whole graph"):
            make_config("lightgcn", sampling="neighbor", fanout=(5,), **setting)
        config = CONFIG.model_copy(update={"sampling": "neighbor", "fanout": (5,)})
        with pytest.raises(UsageError, match=f"{name} of lightgcn is for the whole graph"):
            Trainer(model_of(**setting), config, seed=1).run()
