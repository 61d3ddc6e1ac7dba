"""The one training loop: steps over batches, judged on select rows, checkpointed now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from graphrec.config import TrainingConfig
from graphrec.errors import RunError, TrainingError
from graphrec.evaluation import evaluate
from graphrec.models import EmbeddingModel, TrainedModel
from graphrec.sampling import generator_for
from graphrec.sparse import CSR
from graphrec.training.average import Average
from graphrec.training.checkpoint import State, check_like, has_checkpoint, load_checkpoint, save_checkpoint
from graphrec.training.inference import settle_vectors
from graphrec.training.steps import make_batches, make_step

METRIC = "recall@20"
TELL_SECONDS = 5  # between reports within an epoch
SAVE_SECONDS = 600  # between checkpoints within an epoch


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training pairs gave.

    Args:
        model: name of the model; phase: ``select`` or ``refit``.
        epoch: from 1; epochs: at most.
        loss: mean over the batches.
        metric: recall@20 on the select rows, or None if they were not read after this epoch.
        seconds: training and judging; pairs_per_second: training alone.
    """

    model: str
    phase: str
    epoch: int
    epochs: int
    loss: float
    metric: float | None
    seconds: float
    pairs_per_second: float


@dataclass(frozen=True)
class Stride:
    """How far an epoch is.

    Args:
        model: name of the model; phase: ``select`` or ``refit``.
        epoch, epochs: from 1, and at most.
        step, steps: batches done, and in the epoch.
        loss: mean over the batches done.
        seconds: since the first of them that this process has done; begun: how many were done before.
    """

    model: str
    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    seconds: float
    begun: int


@dataclass
class Progress:
    """What a resumed run must know besides weights and optimiser.

    Args:
        history: of the epochs that are finished.
        best_epoch, best_metric: of the best weights so far.
        losses: of the batches of the epoch that was begun, float64 [steps].
    """

    history: list[Epoch]
    best_epoch: int = 0
    best_metric: float = -1.0
    losses: list[float] = field(default_factory=list)

    @property
    def evaluations_since_best(self) -> int:
        return sum(row.metric is not None and row.epoch > self.best_epoch for row in self.history)


class Trainer:
    """Trains one model.

    Every draw derives from (seed, epoch, step), so a run resumed from its checkpoint ends in the same bytes as one
    that was never stopped, on the same machine with the same versions, device and thread count.

    Args:
        model: its first parameters are drawn here.
        name: what the history calls it.
        config: epochs, batch size, learning rate, patience, and over how many epochs weights are averaged.
        seed: of every draw.
        phase: ``select`` or ``refit``, for the history.
        select: held-out pairs, CSR [U, I], for early stopping and the best weights; None trains for all epochs.
        checkpoint: a file to write after every epoch and every ten minutes, and to go on from where it exists.
        device: where steps on samples compute; None for the model's own.
        on_epoch: called with each finished epoch.
        on_stride: called every few seconds within an epoch.
    """

    def __init__(
        self,
        model: TrainedModel,
        config: TrainingConfig,
        *,
        name: str = "",
        seed: int,
        phase: str = "select",
        select: CSR | None = None,
        checkpoint: Path | None = None,
        device: torch.device | None = None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        on_stride: Callable[[Stride], None] = lambda stride: None,
    ) -> None:
        self.model = model
        self.name = name or model.name
        self.config = config
        self.phase = phase
        self.select = select
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self.on_stride = on_stride
        model.reset(generator_for(seed, device=model.graph.device))
        self.batches = make_batches(model, config, seed)
        self.step = make_step(model, config, self.batches, device or model.graph.device)
        self.average = Average(model, config.average, len(self.batches)) if config.average else None
        self.progress = Progress([])
        self.best: State = {}

    def run(self) -> Progress:
        """Train to the end, leave the best weights in the model, and say how it went.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        if self.checkpoint is not None and has_checkpoint(self.checkpoint):
            self._restore(self.checkpoint)
        while not self._finished():
            self._one_epoch()
            if self.checkpoint is not None:
                self._save(self.checkpoint)
            self.on_epoch(self.progress.history[-1])
        self.model.load_state_dict(self.best)
        self.model.eval()
        return self.progress

    def _finished(self) -> bool:
        patience = self.config.patience
        stopped = patience > 0 and self.progress.evaluations_since_best >= patience
        return stopped or len(self.progress.history) >= self.config.epochs

    def _one_epoch(self) -> None:
        epoch, begun = len(self.progress.history) + 1, len(self.progress.losses)
        start = time.perf_counter()
        loss = self._train(epoch)
        trained = time.perf_counter() - start
        pairs = self.batches.num_pairs * (1 - begun / len(self.batches))
        with self.average.in_place() if self.average else nullcontext():
            metric = self._judge(epoch)
            if self._is_best(metric):
                self.progress.best_epoch = epoch
                self.progress.best_metric = -1.0 if metric is None else metric
                self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.progress.losses = []
        self.progress.history.append(
            Epoch(
                model=self.name,
                phase=self.phase,
                epoch=epoch,
                epochs=self.config.epochs,
                loss=loss,
                metric=metric,
                seconds=time.perf_counter() - start,
                pairs_per_second=pairs / trained,
            )
        )

    def _train(self, epoch: int) -> float:
        """One pass over the pairs, or the rest of one that was begun; returns the mean loss."""
        self.model.train()
        device, begun = self.model.graph.device, len(self.progress.losses)
        losses = torch.zeros(len(self.batches), dtype=torch.float64, device=device)
        losses[:begun] = torch.tensor(self.progress.losses, dtype=torch.float64)
        self._told = self._saved = self._started = time.perf_counter()
        batches = self.step.prepared(self.batches.epoch(epoch, begun))
        for step, batch in enumerate(batches, start=begun):
            loss = losses[step] = self.step(batch)
            if device.type == "cpu" and not loss.isfinite():  # elsewhere a look would wait for the device
                break
            if self.average:
                self.average.update((epoch - 1) * len(self.batches) + step + 1)
            self._after_step(epoch, losses[: step + 1], begun)
        self._check_finite(losses, epoch)
        return float(losses.mean())

    def _after_step(self, epoch: int, losses: Tensor, begun: int) -> None:
        """Say how far the epoch is and write a checkpoint, where the time for it has come."""
        now = time.perf_counter()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            steps = (len(losses), len(self.batches), float(losses.mean()), now - self._started, begun)
            self.on_stride(Stride(self.name, self.phase, epoch, self.config.epochs, *steps))
        if self.checkpoint is not None and now - self._saved >= SAVE_SECONDS:
            self._saved = now
            self._check_finite(losses, epoch)
            self.progress.losses = losses.tolist()
            self._save(self.checkpoint)

    def _check_finite(self, losses: Tensor, epoch: int) -> None:
        """Stop where a loss is none; nothing of this epoch has been kept yet."""
        if bool(losses.isfinite().all()):
            return
        step = int((~losses.isfinite()).nonzero()[0])
        raise TrainingError(
            f"{self.name}: the loss became {losses[step].item()} in epoch {epoch}, step {step + 1}",
            f"try a lower learning_rate than {self.config.learning_rate}",
        )

    def _judge(self, epoch: int) -> float | None:
        """Recall@20 on the select rows where this epoch is one to judge, else None."""
        last = epoch == self.config.epochs
        if self.select is None or (epoch % self.config.eval_every and not last):
            return None
        self.model.eval()
        if isinstance(self.model, EmbeddingModel):
            settle_vectors(self.model, None if self.checkpoint is None else self.checkpoint.parent)
        judged = evaluate(self.model.score_block, train=self.model.graph.seen, test=self.select, ks=(20,))
        return judged.metrics[METRIC]

    def _is_best(self, metric: float | None) -> bool:
        """Whether this epoch's weights are to be kept: better than all judged ones, or nothing has been judged yet."""
        return self.progress.best_metric < 0 if metric is None else metric > self.progress.best_metric

    @cached_property
    def graph_digest(self) -> str:
        return self.model.graph.digest()

    def _save(self, path: Path) -> None:
        tensors = {
            "model": self.model.state_dict(),
            "optimizer": self.step.state(),
            "best": self.best,
            "average": self.average.mean if self.average else {},
        }
        record = {"graph": self.graph_digest, "progress": asdict(self.progress)}
        save_checkpoint(path, tensors, record)

    def _restore(self, path: Path) -> None:
        tensors, record = load_checkpoint(path, self.model.graph.device)
        if record.get("graph") != self.graph_digest:
            raise RunError(f"{path} was written on another graph than this run's", "remove it to train from the start")
        try:
            progress = self._checked_progress(record.get("progress"))
            self.model.load_state_dict(tensors["model"])
            self.step.restore(tensors.get("optimizer", {}))
            if self.average:
                self.average.restore(tensors.get("average", {}))
            best = tensors.get("best", {})
            if progress.history:
                check_like(best, self.model.state_dict())
            self.best, self.progress = best, progress
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(f"{path} belongs to another model: {error}", "remove it to train from the start") from None

    def _checked_progress(self, told: object) -> Progress:
        """The progress in a checkpoint's record.

        Raises:
            ValueError: it is none, or training cannot have come to it.
        """
        try:
            progress = TypeAdapter(Progress).validate_python(told)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, ('progress', *first['loc'])))}: {first['msg'].lower()}") from None
        done = len(progress.history)
        possible = min(done, 1) <= progress.best_epoch <= done <= self.config.epochs
        if not possible or len(progress.losses) > len(self.batches):
            raise ValueError("its history is not one of this training")
        return progress
