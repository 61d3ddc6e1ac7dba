"""The mean of the weights: by hand, what training keeps of it, and that training itself is none the wiser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graphrec.config import TrainingConfig
from graphrec.data import Part
from graphrec.errors import RunError
from graphrec.graph import build_graph
from graphrec.models import LightGCN, LightGCNSettings
from graphrec.training import Trainer, part_csr
from graphrec.training.average import Average
from tests.worlds import small_world

WORLD = small_world()
SELECT = part_csr(WORLD, Part.SELECT)
CONFIG = TrainingConfig(epochs=3, batch_size=64, learning_rate=0.05, patience=0, eval_every=1, average=1)


def lightgcn() -> LightGCN:
    return LightGCN(build_graph(WORLD), LightGCNSettings(width=8, layers=1))


def one_weight(dtype: torch.dtype = torch.float32) -> nn.Linear:
    return nn.Linear(1, 1, bias=False, dtype=dtype)


def means(values: list[float], epochs: int, steps: int, dtype: torch.dtype = torch.float32) -> list[float]:
    """The mean after each of the values of a single weight."""
    model, found = one_weight(dtype), []
    average = Average(model, epochs, steps)
    for step, value in enumerate(values, start=1):
        nn.init.constant_(model.weight, value)
        average.update(step)
        found.append(average.mean["weight"].item())
    return found


def test_a_plain_mean_first_and_a_moving_one_then() -> None:
    expected = [8.0, (8 + 4) / 2, (8 + 4 + 0) / 3, 4 + (0 - 4) / 3, (4 - 4 / 3) + (2 - (4 - 4 / 3)) / 3]
    assert means([8, 4, 0, 0, 2], epochs=1, steps=3) == pytest.approx(expected)


def test_a_window_of_several_epochs() -> None:
    assert means([8, 4, 0, 0], epochs=2, steps=2) == pytest.approx([8, 6, 4, 3])


def test_a_hundred_values_in_an_epoch_count() -> None:
    values = [float(step) for step in range(1, 401)]
    assert means(values, epochs=1, steps=400)[-1] == pytest.approx(sum(range(4, 401, 4)) / 100)


def test_half_precision_is_averaged_in_float32() -> None:
    ones = [1.0] * 99 + [2.0]
    assert means(ones, epochs=1, steps=100, dtype=torch.bfloat16)[-1] == pytest.approx(1.01, abs=1e-6)


def test_the_weights_come_back_after_an_error() -> None:
    model = one_weight()
    nn.init.constant_(model.weight, 3.0)
    average = Average(model, 1, 1)
    with pytest.raises(KeyboardInterrupt), average.in_place():
        assert model.weight.item() == 0
        raise KeyboardInterrupt
    assert model.weight.item() == 3


def watched(trainer: Trainer) -> list[Tensor]:
    """The table after every step that is still to come."""
    seen: list[Tensor] = []
    step: Callable[..., Tensor] = type(trainer.step).__call__

    class Watched(type(trainer.step)):
        def __call__(self, batch: object) -> Tensor:
            loss = step(self, batch)
            seen.append(self.model.table.detach().clone())
            return loss

    trainer.step.__class__ = Watched
    return seen


def test_what_is_judged_and_kept_is_the_mean_of_the_steps() -> None:
    model = lightgcn()
    trainer = Trainer(model, CONFIG.model_copy(update={"epochs": 1}), seed=1, select=SELECT)
    seen = watched(trainer)
    progress = trainer.run()
    assert len(seen) > 5 and torch.allclose(model.table, torch.stack(seen).mean(0), atol=1e-6)

    last = lightgcn()
    raw = Trainer(last, CONFIG.model_copy(update={"epochs": 1, "average": 0}), seed=1, select=SELECT).run()
    assert torch.equal(last.table, seen[-1])
    assert progress.best_metric != raw.best_metric


def test_averaging_leaves_training_as_it_was() -> None:
    runs = [
        Trainer(lightgcn(), CONFIG.model_copy(update={"average": average}), seed=1, select=SELECT).run()
        for average in (0, 1)
    ]
    losses = [[row.loss for row in run.history] for run in runs]
    assert losses[0] == losses[1]


def test_a_checkpoint_without_a_mean_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lightgcn.safetensors"
    Trainer(lightgcn(), CONFIG.model_copy(update={"average": 0}), seed=1, checkpoint=path).run()
    with pytest.raises(RunError, match="table is missing"):
        Trainer(lightgcn(), CONFIG, seed=1, checkpoint=path).run()
