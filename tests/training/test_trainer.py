"""The training loop: the loss falls, runs repeat, a resumed run ends in the same bytes, a bad loss stops it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from graphrec.config import TrainingConfig
from graphrec.data import Part
from graphrec.errors import RunError, TrainingError
from graphrec.graph import build_graph
from graphrec.models import GAT, EmbeddingModel, GATSettings
from graphrec.training import Epoch, Stride, Trainer, part_csr
from graphrec.training import checkpoint as checkpoint_module
from graphrec.training import trainer as trainer_module
from graphrec.training.checkpoint import load_checkpoint, save_checkpoint
from tests.worlds import small_world

WORLD = small_world()
SELECT = part_csr(WORLD, Part.SELECT)
CONFIG = TrainingConfig(epochs=6, batch_size=128, learning_rate=0.02, patience=0)


def gat() -> GAT:
    settings = GATSettings(width=8, heads=2, layers=1, attention_dropout=0.1, message_dropout=0.1)
    return GAT(build_graph(WORLD), settings)


def same(first: EmbeddingModel, second: EmbeddingModel) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_loss_falls_and_two_runs_match() -> None:
    models = [gat(), gat()]
    histories = [Trainer(model, CONFIG, seed=1, select=SELECT).run().history for model in models]
    assert histories[0][-1].loss < 0.9 * histories[0][0].loss
    assert [row.loss for row in histories[0]] == [row.loss for row in histories[1]]
    assert same(*models)


def test_another_seed_gives_another_model() -> None:
    models = [gat(), gat()]
    for seed, model in enumerate(models):
        Trainer(model, CONFIG, seed=seed).run()
    assert not same(*models)


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, stopped, resumed = gat(), gat(), gat()
    Trainer(whole, CONFIG, seed=1, select=SELECT).run()

    def stop(row: Epoch) -> None:
        if row.epoch == 3:
            raise KeyboardInterrupt

    path = tmp_path / "gat.safetensors"
    with pytest.raises(KeyboardInterrupt):
        Trainer(stopped, CONFIG, seed=1, select=SELECT, checkpoint=path, on_epoch=stop).run()
    progress = Trainer(resumed, CONFIG, seed=1, select=SELECT, checkpoint=path).run()
    assert [row.epoch for row in progress.history] == [1, 2, 3, 4, 5, 6]
    assert same(whole, resumed)


@pytest.mark.parametrize(("sampling", "average"), [("full", 0), ("full", 1), ("neighbor", 0), ("neighbor", 1)])
def test_a_run_stopped_within_an_epoch_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: str, average: int
) -> None:
    config = CONFIG.model_copy(update={"epochs": 3, "sampling": sampling, "batch_size": 32, "average": average})
    whole, stopped, resumed = gat(), gat(), gat()
    expected = Trainer(whole, config, seed=1, select=SELECT).run()
    monkeypatch.setattr(trainer_module, "TELL_SECONDS", 0)
    monkeypatch.setattr(trainer_module, "SAVE_SECONDS", 0)

    def stop(stride: Stride) -> None:
        if (stride.epoch, stride.step) == (2, 5):
            raise KeyboardInterrupt

    path, begun = tmp_path / "gat.safetensors", []
    with pytest.raises(KeyboardInterrupt):
        Trainer(stopped, config, seed=1, select=SELECT, checkpoint=path, on_stride=stop).run()
    trainer = Trainer(
        resumed, config, seed=1, select=SELECT, checkpoint=path, on_stride=lambda s: begun.append(s.begun)
    )
    progress = trainer.run()
    assert begun[0] == 4 and begun[-1] == 0  # the last checkpoint stands behind the fourth step
    assert [row.loss for row in progress.history] == [row.loss for row in expected.history]
    assert same(whole, resumed)


def test_a_run_stopped_while_it_is_judged_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint stands behind the epoch's last batch then, and no batch is left of it."""
    config = CONFIG.model_copy(update={"epochs": 3, "eval_every": 2})
    whole, resumed = gat(), gat()
    expected = Trainer(whole, config, seed=1, select=SELECT).run()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "gat.safetensors"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module, "SAVE_SECONDS", 0)
        patch.setattr(trainer_module, "evaluate", stop)
        Trainer(gat(), config, seed=1, select=SELECT, checkpoint=path).run()
    progress = Trainer(resumed, config, seed=1, select=SELECT, checkpoint=path).run()
    assert [row.loss for row in progress.history] == [row.loss for row in expected.history]
    assert same(whole, resumed)


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gat.safetensors"
    whole, resumed = gat(), gat()
    Trainer(whole, CONFIG, seed=1).run()

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    def fill(row: Epoch) -> None:
        if row.epoch == 2:
            monkeypatch.setattr(checkpoint_module, "save_file", full)

    with pytest.raises(OSError, match="No space left on device"):
        Trainer(gat(), CONFIG, seed=1, checkpoint=path, on_epoch=fill).run()
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {"gat.safetensors", "gat.previous.safetensors"}
    Trainer(resumed, CONFIG, seed=1, checkpoint=path).run()
    assert same(whole, resumed)


FORGERIES: dict[str, Callable[[dict, dict], object]] = {
    "exp_avg has the shape": lambda tensors, record: tensors["optimizer"].update({"0.exp_avg": torch.zeros(1)}),
    "exp_avg_sq is missing": lambda tensors, record: tensors["optimizer"].pop("0.exp_avg_sq"),
    "not finite": lambda tensors, record: tensors["best"]["table"].fill_(torch.nan),
    "table is missing": lambda tensors, record: tensors["best"].pop("table"),
    "weight is not expected": lambda tensors, record: tensors["best"].update(weight=torch.zeros(1)),
    "its history is not one": lambda tensors, record: record["progress"].update(best_epoch=0),
    "not one of this training": lambda tensors, record: record["progress"].update(losses=[0.5] * 1000),
    r"progress\.history\.0\.epoch: input": lambda tensors, record: record["progress"]["history"][0].update(
        epoch="first"
    ),
    "progress: input should be a dictionary": lambda tensors, record: record.update(progress=[]),
}


@pytest.mark.parametrize("said", FORGERIES)
def test_a_checkpoint_of_no_such_training_is_refused(tmp_path: Path, said: str) -> None:
    """Whatever its digest says: shapes, names, numbers and the history are held against the training at hand."""
    path = tmp_path / "gat.safetensors"
    Trainer(gat(), CONFIG.model_copy(update={"epochs": 2}), seed=1, select=SELECT, checkpoint=path).run()
    tensors, record = load_checkpoint(path, torch.device("cpu"))
    FORGERIES[said](tensors, record)
    for file in tmp_path.iterdir():
        file.unlink()
    save_checkpoint(path, tensors, record)
    with pytest.raises(RunError, match=said) as caught:
        Trainer(gat(), CONFIG, seed=1, select=SELECT, checkpoint=path).run()
    assert "remove it to train from the start" in str(caught.value)


def test_a_step_does_not_depend_on_the_batch_before() -> None:
    """Gradients start from zero at every step: a second step equals a fresh model's step from the same state."""
    model = gat()
    trainer = Trainer(model, CONFIG, seed=1)
    model.train()
    first, second = list(trainer.batches.epoch(1))[:2]
    model.loss(first).backward()
    model.zero_grad(set_to_none=True)
    model.loss(second).backward()
    fresh = gat()
    fresh.load_state_dict(model.state_dict())
    fresh.train()
    again = list(Trainer(gat(), CONFIG, seed=1).batches.epoch(1))[1]
    fresh.loss(again).backward()
    for one, other in zip(model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_patience_stops_and_the_best_weights_stay() -> None:
    model = gat()
    config = TrainingConfig(epochs=50, batch_size=128, learning_rate=0.5, patience=2, eval_every=1)
    progress = Trainer(model, config, seed=1, select=SELECT).run()
    assert len(progress.history) == progress.best_epoch + 2 < 50
    best = max(row.metric for row in progress.history if row.metric is not None)
    assert progress.history[progress.best_epoch - 1].metric == best == progress.best_metric
    again = gat()
    shorter = config.model_copy(update={"epochs": progress.best_epoch, "patience": 0})
    Trainer(again, shorter, seed=1).run()
    assert same(model, again)


def test_epochs_between_evaluations_are_never_the_best() -> None:
    config = TrainingConfig(epochs=60, batch_size=128, learning_rate=0.5, patience=2, eval_every=4)
    progress = Trainer(gat(), config, seed=1, select=SELECT).run()
    judged = {row.epoch: row.metric for row in progress.history if row.metric is not None}
    assert list(judged) == list(range(4, len(progress.history) + 1, 4))
    assert progress.best_epoch == max(judged, key=lambda epoch: judged[epoch])
    assert len(progress.history) == progress.best_epoch + 2 * 4


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    config = TrainingConfig(epochs=50, batch_size=128, learning_rate=1e30)
    with pytest.raises(
        TrainingError, match=r"gat: the loss became .* in epoch \d+, step \d+\ntry a lower learning_rate"
    ):
        Trainer(gat(), config, seed=1).run()


def test_a_graph_that_changed_under_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gat.safetensors"
    model = gat()
    Trainer(model, CONFIG.model_copy(update={"epochs": 1}), seed=1, checkpoint=path).run()
    user, item = torch.tensor([0]), model.graph.seen.rows(0)[:1].long() + model.graph.num_users
    changed = GAT(model.graph.without_edges(user, item), model.settings)
    with pytest.raises(RunError, match="was written on another graph than this run's"):
        Trainer(changed, CONFIG, seed=1, checkpoint=path).run()


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "gat.safetensors"
    Trainer(gat(), CONFIG.model_copy(update={"epochs": 1}), seed=1, checkpoint=path).run()
    other = gat()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        other = GAT(build_graph(WORLD), GATSettings(width=16, heads=2, layers=1))
    with pytest.raises(RunError, match="remove it to train from the start"):
        Trainer(other, CONFIG, seed=1, checkpoint=path).run()
