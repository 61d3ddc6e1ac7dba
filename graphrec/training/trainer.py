"""The one training loop: Adam over batches, judged on select rows, checkpointed every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphrec.config import TrainingConfig
from graphrec.errors import RunError, TrainingError
from graphrec.evaluation import evaluate
from graphrec.models import EmbeddingModel
from graphrec.sampling import generator_for
from graphrec.sparse import CSR
from graphrec.training.checkpoint import State, load_checkpoint, save_checkpoint
from graphrec.training.steps import make_batches, make_step

METRIC = "recall@20"


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


@dataclass
class Progress:
    """What a resumed run must know besides tensors."""

    history: list[Epoch]
    best_epoch: int = 0
    best_metric: float = -1.0

    @property
    def evaluations_since_best(self) -> int:
        return sum(row.metric is not None and row.epoch > self.best_epoch for row in self.history)


class Trainer:
    """Trains one embedding model.

    Every draw derives from (seed, epoch, step), so a run resumed from its checkpoint ends in the same bytes as one
    that was never stopped, on the same machine with the same versions, device and thread count.

    Args:
        model: its initial vectors are drawn here.
        config: epochs, batch size, learning rate, patience.
        seed: of every draw.
        phase: ``select`` or ``refit``, for the history.
        select: held-out pairs, CSR [U, I], for early stopping and the best weights; None trains for all epochs.
        checkpoint: a file to write after every epoch, and to go on from where it exists.
        on_epoch: called with each finished epoch.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        config: TrainingConfig,
        *,
        seed: int,
        phase: str = "select",
        select: CSR | None = None,
        checkpoint: Path | None = None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        self.model = model
        self.config = config
        self.phase = phase
        self.select = select
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        model.reset(generator_for(seed, device=model.graph.device))
        self.batches = make_batches(model, config, seed)
        self.step = make_step(model, config, self.batches)
        self.progress = Progress([])
        self.best: State = {}

    def run(self) -> Progress:
        """Train to the end, leave the best weights in the model, and say how it went.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        if self.checkpoint is not None and self.checkpoint.exists():
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
        epoch = len(self.progress.history) + 1
        start = time.perf_counter()
        loss = self._train(epoch)
        trained = time.perf_counter() - start
        metric = self._judge(epoch)
        if self._is_best(metric):
            self.progress.best_epoch = epoch
            self.progress.best_metric = -1.0 if metric is None else metric
            self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.progress.history.append(
            Epoch(
                model=self.model.name,
                phase=self.phase,
                epoch=epoch,
                epochs=self.config.epochs,
                loss=loss,
                metric=metric,
                seconds=time.perf_counter() - start,
                pairs_per_second=self.batches.num_pairs / trained,
            )
        )

    def _train(self, epoch: int) -> float:
        """One pass over the pairs; returns the mean loss."""
        self.model.train()
        device = self.model.graph.device
        losses = torch.zeros(len(self.batches), dtype=torch.float64, device=device)
        for step, batch in enumerate(self.step.epoch(self.batches, epoch)):
            loss = losses[step] = self.step(batch)
            if device.type == "cpu" and not loss.isfinite():  # elsewhere a look would wait for the device
                break
        self._check_finite(losses, epoch)
        return float(losses.mean())

    def _check_finite(self, losses: Tensor, epoch: int) -> None:
        """Stop where a loss is none; nothing of this epoch has been kept yet."""
        if bool(losses.isfinite().all()):
            return
        step = int((~losses.isfinite()).nonzero()[0])
        raise TrainingError(
            f"{self.model.name}: the loss became {losses[step].item()} in epoch {epoch}, step {step + 1}",
            f"try a lower learning_rate than {self.config.learning_rate}",
        )

    def _judge(self, epoch: int) -> float | None:
        """Recall@20 on the select rows where this epoch is one to judge, else None."""
        last = epoch == self.config.epochs
        if self.select is None or (epoch % self.config.eval_every and not last):
            return None
        self.model.eval()
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
        }
        record: dict[str, Any] = {
            "history": [asdict(row) for row in self.progress.history],
            "best_epoch": self.progress.best_epoch,
            "best_metric": self.progress.best_metric,
            "graph": self.graph_digest,
        }
        save_checkpoint(path, tensors, record)

    def _restore(self, path: Path) -> None:
        tensors, record = load_checkpoint(path, self.model.graph.device)
        if record.get("graph") != self.graph_digest:
            raise RunError(f"{path} was written on another graph than this run's", "remove it to train from the start")
        try:
            self.model.load_state_dict(tensors["model"])
            self.step.restore(tensors["optimizer"])
            self.best = tensors["best"]
            history = [Epoch(**row) for row in record["history"]]
            self.progress = Progress(history, record["best_epoch"], record["best_metric"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise RunError(f"{path} belongs to another model: {error}", "remove it to train from the start") from None
