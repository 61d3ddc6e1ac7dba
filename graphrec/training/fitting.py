"""From a dataset and a configuration to a fitted model: views, fusion, and the refit on all train rows."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from graphrec.config import RunConfig
from graphrec.data import Dataset, Part
from graphrec.errors import BackendError
from graphrec.evaluation import evaluate
from graphrec.graph import HeteroGraph, build_graph, defer_graph, relations_of, rows_csr
from graphrec.models import EmbeddingModel, Fused, Joint, Model, TrainedModel, build_model, views_of
from graphrec.sampling import generator_for
from graphrec.sparse import CSR
from graphrec.training.inference import settle_vectors
from graphrec.training.stacking import FusionReport, fit_fusion
from graphrec.training.steps import check_sampling
from graphrec.training.trainer import Epoch, Progress, Stride, Trainer
from graphrec.training.warm import Start, take_over

MAX_JUDGES = 30_000  # ranking everybody in a large data set would take longer than training
TRAIN_PARTS = (Part.FIT, Part.SELECT, Part.BLEND)


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how it came about.

    Args:
        model: ready to score, on the graph it was fitted on.
        history: a row an epoch (the fields of ``Epoch``).
        valid: metrics on the select rows before any refit; empty where there are none.
        epochs: trained, by view, or by fusion where its views are trained together, in the phase that made ``model``.
        fusion: how the views were weighed, if they were.
        known_rows: held-out rows, by part, on which the model that training started from was fitted.
    """

    model: Model
    history: pd.DataFrame
    valid: dict[str, float]
    epochs: dict[str, int]
    fusion: FusionReport | None
    known_rows: dict[str, int]


def fit_model(
    dataset: Dataset,
    config: RunConfig,
    *,
    start: Start | None = None,
    checkpoints: Path | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_stride: Callable[[Stride], None] = lambda stride: None,
) -> Fitted:
    """Train a model as configured.

    Views are trained on the fit rows, stopped on the select rows, and weighed on the blend rows. With ``refit`` they
    are then trained again on all train rows for the epochs they chose, with the fusion weights frozen. A single model
    with ``refit`` and without early stopping has nothing to choose and is trained on all train rows at once.

    Args:
        dataset: its test rows are not read.
        config: what to train, and how.
        start: an earlier model whose vectors training starts from.
        checkpoints: a folder for the state after each epoch and every ten minutes; training goes on from what it holds.
        on_epoch: called after each epoch.
        on_stride: called every few seconds within an epoch.

    Raises:
        NothingLeftError: no pair to learn from.
        TrainingError: the loss is no longer finite.
        UsageError: a CUDA device is asked for and there is none, or the fan-out or the model to start from do not fit.
    """
    device = checked_device(config.device)
    check_sampling(config, relations_of(dataset))
    known_rows: dict[str, int] = {}
    if start is not None:
        start.check(config.models)
        known_rows = start.known_rows(dataset)
    phases = Phases(dataset, config, device, start, checkpoints, on_epoch, on_stride)
    alone = config.training_of(config.model)
    if config.refit and alone.patience == 0 and config.model != Fused.name:
        model = phases.fit("refit", TRAIN_PARTS, {config.model: alone.epochs})
        return Fitted(model, phases.frame(), {}, phases.best_epochs, None, known_rows)
    model = phases.fit("select", (Part.FIT,), {})
    chosen = phases.best_epochs
    fusion = None
    if isinstance(model, Fused):
        fusion = fit_fusion(model, part_csr(dataset, Part.BLEND, graph_device(config)), seed=config.seed)
    select = phases.select
    valid = evaluate(model.score_block, train=model.graph.seen, test=select).metrics if select.num_edges else {}
    if config.refit:
        refitted = phases.fit("refit", TRAIN_PARTS, chosen)
        if isinstance(model, Fused) and isinstance(refitted, Fused):
            refitted.copy_weights(model)
        model = refitted
    return Fitted(model, phases.frame(), valid, chosen, fusion, known_rows)


@dataclass
class Phases:
    """Fits all views of a model, once a phase, and gathers their histories.

    Args:
        dataset, config, start, checkpoints, on_epoch, on_stride: as for ``fit_model``.
        device: where to compute.
    """

    dataset: Dataset
    config: RunConfig
    device: torch.device
    start: Start | None = None
    checkpoints: Path | None = None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None
    on_stride: Callable[[Stride], None] = lambda stride: None
    history: list[Epoch] = dataclasses.field(default_factory=list)
    progress: dict[str, Progress] = dataclasses.field(default_factory=dict)

    def fit(self, phase: str, parts: tuple[Part, ...], budget: dict[str, int]) -> Model:
        """A new model on the rows of ``parts``; where a view has a budget of epochs, select rows are not read."""
        return self.fit_on(build_graph(self.dataset, parts).to(graph_device(self.config)), phase, budget)

    def fit_on(self, graph: HeteroGraph, phase: str, budget: dict[str, int]) -> Model:
        """The same on a graph that is there already."""
        model = build_model(self.config.model, graph, self.config.models)
        if isinstance(model, Fused) and model.settings.fuse == "joint":
            self._train(phase, model.name, Joint(model), budget.get(model.name))
        else:
            self._fit_each(phase, model, budget)
        model.eval()
        for view in views_of(model).values():
            if isinstance(view, EmbeddingModel):
                settle_vectors(view, self.checkpoints)
        return model

    def _fit_each(self, phase: str, model: Model, budget: dict[str, int]) -> None:
        for name, view in views_of(model).items():
            if isinstance(view, TrainedModel):
                self._train(phase, name, view, budget.get(name))
            else:
                view.fit()

    def _train(self, phase: str, name: str, view: TrainedModel, epochs: int | None) -> None:
        training = self.config.training_of(name)
        select = self.select
        if epochs is not None:
            training = training.model_copy(update={"epochs": epochs, "patience": 0})
        trainer = Trainer(
            view,
            training,
            name=name,
            seed=view_seed(self.config.seed, name),
            phase=phase,
            select=select if epochs is None and select.num_edges else None,
            checkpoint=self.checkpoints / f"{name}.{phase}.safetensors" if self.checkpoints else None,
            device=self.device,
            on_epoch=self.on_epoch,
            on_stride=self.on_stride,
        )
        if self.start is not None:
            take_over(view, name, self.dataset, self.start)
        self.progress[name] = trainer.run()
        self.history += self.progress[name].history

    @cached_property
    def select(self) -> CSR:
        """The select rows; those of ``MAX_JUDGES`` users where more have some."""
        rows = part_csr(self.dataset, Part.SELECT)
        users = (rows.degree > 0).nonzero()[:, 0]
        if len(users) > MAX_JUDGES:
            users = users[torch.randperm(len(users), generator=generator_for(self.config.seed))[:MAX_JUDGES]]
            rows = keep_rows(rows, users)
        return rows.to(graph_device(self.config))

    @property
    def best_epochs(self) -> dict[str, int]:
        """The epochs of each trained view in the last phase, up to its best weights."""
        return {name: progress.best_epoch for name, progress in self.progress.items()}

    def frame(self) -> pd.DataFrame:
        fields = [field.name for field in dataclasses.fields(Epoch)]
        return pd.DataFrame([dataclasses.asdict(row) for row in self.history], columns=fields)


def view_seed(seed: int, name: str) -> int:
    """What a view's draws derive from: the run's seed, and the view's label where it has one.

    >>> view_seed(1, "lightgcn"), view_seed(1, "lightgcn-second") == view_seed(1, "lightgcn-third")
    (1, False)
    """
    label = name.partition("-")[2]
    return generator_for(seed, zlib.crc32(label.encode())).initial_seed() if label else seed


def keep_rows(csr: CSR, rows: Tensor) -> CSR:
    """The same matrix with all rows but some emptied."""
    kept = torch.zeros(csr.num_rows, dtype=torch.bool, device=csr.device)
    kept[rows] = True
    return csr.without_edges(~kept[csr.row_index()])


def part_csr(dataset: Dataset, part: Part, device: torch.device | str = "cpu") -> CSR:
    """The interactions of one part, CSR [U, I]."""
    return rows_csr(dataset, (part,)).to(device)


def negatives_csr(dataset: Dataset, part: Part, device: torch.device | str = "cpu") -> CSR:
    """The pairs of one part that are labelled as no interaction, CSR [U, I]."""
    user, item = dataset.negatives.select(part)
    return CSR.from_pairs(user, item, dataset.num_users, dataset.num_items).to(device)


def checked_device(name: str) -> torch.device:
    """A torch device that this machine has.

    Raises:
        UsageError: CUDA is asked for and is not there.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BackendError(f"device {name} is not available: this torch sees no GPU", "use --device cpu")
    return torch.device(name)


def graph_device(config: RunConfig) -> torch.device:
    """Where the graph and the vectors are: in the machine's memory where neighbours are sampled."""
    return torch.device("cpu") if config.training.sampling == "neighbor" else checked_device(config.device)


def parts_of(config: RunConfig) -> tuple[Part, ...]:
    """The parts that a finished run of this configuration was fitted on."""
    return TRAIN_PARTS if config.refit else (Part.FIT,)


def graph_for(dataset: Dataset, config: RunConfig) -> HeteroGraph:
    """The propagation graph of a finished run of this configuration, made when its edges are first asked for."""
    return defer_graph(dataset, parts_of(config)).to(graph_device(config))
