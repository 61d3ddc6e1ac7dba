"""The captured step: what it copies and when it replays, with a graph that runs on the CPU; on a GPU, the real one."""

from __future__ import annotations

import warnings

import pytest
import torch

from graphrec.config import TrainingConfig
from graphrec.graph import build_graph
from graphrec.models import GAT, EmbeddingModel, GATSettings, LightGCN, LightGCNSettings
from graphrec.training import Trainer
from graphrec.training.step import CapturedStep, Step, WholeStep
from tests.worlds import small_world

WORLD = small_world()
CONFIG = TrainingConfig(epochs=3, batch_size=100, learning_rate=0.02, patience=0)


def lightgcn(device: str = "cpu", **settings: str) -> LightGCN:
    return LightGCN(build_graph(WORLD).to(device), LightGCNSettings(width=8, layers=2, **settings)).to(device)


class OnTheCpu(CapturedStep):
    """Capturing keeps the batch that was captured; replaying trains on what stands in it now."""

    replays = 0

    def _beside(self, batch):
        return WholeStep.__call__(self, batch)

    def _capture(self):
        self.graph = self
        self.loss = torch.zeros(())

    def replay(self) -> None:
        self.replays += 1
        self.loss.copy_(WholeStep.__call__(self, self.batch))


def trained(model: EmbeddingModel, step: type[Step]) -> tuple[list[float], Step]:
    trainer = Trainer(model, CONFIG, seed=1)
    optimizer = torch.optim.Adam(
        model.parameter_groups(CONFIG.learning_rate), fused=True, capturable=model.table.is_cuda
    )
    trainer.step = step(model, optimizer, *(() if step is WholeStep else (trainer.batches,)))
    return [row.loss for row in trainer.run().history], trainer.step


def test_replaying_trains_on_every_batch_like_running() -> None:
    models = [lightgcn(), lightgcn()]
    (plain, _), (captured, step) = (
        trained(model, kind) for model, kind in zip(models, (WholeStep, OnTheCpu), strict=True)
    )
    assert plain == captured
    assert torch.equal(models[0].table, models[1].table)
    pairs = Trainer(lightgcn(), CONFIG, seed=1).batches.num_pairs
    assert pairs % CONFIG.batch_size > 0  # so that a smaller batch has been met
    assert step.replays == CONFIG.epochs * (pairs // CONFIG.batch_size) - CapturedStep.WARM_UP


@pytest.mark.gpu
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_a_captured_step_gives_what_a_plain_one_does(loss: str, precision: str) -> None:
    models = [lightgcn("cuda", loss=loss, precision=precision) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (plain, _), (captured, step) = (
            trained(model, kind) for model, kind in zip(models, (WholeStep, CapturedStep), strict=True)
        )
    assert step.graph is not None
    assert captured == pytest.approx(plain, rel=1e-6)
    torch.testing.assert_close(*(model.table for model in models))


@pytest.mark.gpu
def test_on_a_gpu_dropout_is_never_captured() -> None:
    settings = GATSettings(width=8, heads=2, layers=1, attention_dropout=0.1)
    model = GAT(build_graph(WORLD).to("cuda"), settings).to("cuda")
    with pytest.warns(UserWarning, match="gat trains without a CUDA graph"):
        _, step = trained(model, CapturedStep)
    assert step.graph is None
