"""What decides a run: its fields, their defaults and their rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from graphrec.errors import CombinationError, SettingError, UnknownNameError, UsageError, nearest
from graphrec.models import EmbeddingModel, Fused, make_settings, model_class
from graphrec.models.base import Range
from graphrec.models.objective import WITHOUT_NEGATIVES

NEIGHBOR = "add --sampling neighbor"
OWN_TABLE = (
    "a setting for one view alone stands in the view's own table, [models.VIEW], of a TOML file given by --config"
)
# what a view may have of its own
BY_VIEW = ("epochs", "batch_size", "learning_rate", "patience", "eval_every", "average")


class TrainingConfig(BaseModel):
    """How models with gradients are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(200, ge=1, description="passes over the training pairs, at most")
    batch_size: int = Field(1024, ge=1, description="pairs a step")
    learning_rate: Annotated[float, Range(1e-3, 3e-2, log=True)] = Field(1e-2, gt=0, description="of the optimiser")
    patience: int = Field(5, ge=0, description="evaluations without a better one before stopping; 0 never stops early")
    eval_every: int = Field(5, ge=1, description="epochs between evaluations on the select rows")
    average: int = Field(0, ge=0, description="epochs over which weights are averaged; 0 keeps the last ones")
    sampling: Literal["full", "neighbor"] = Field(
        "full", description="propagate over the whole graph, or over a sample of each batch's neighbourhood"
    )
    fanout: tuple[int, ...] | dict[str, tuple[int, ...]] = Field(
        (), description="edges drawn of a node in each hop, or that by kind of edge; empty: 10 in each; -1: all"
    )
    pool: int = Field(
        0,
        ge=0,
        description="negatives that a batch shares; 0: for softmax its own items, for bpr one a pair, or, where "
        "neighbours are sampled, a quarter as many as there are pairs",
    )
    pool_by: Literal["uniform", "popularity"] = Field(
        "uniform", description="how a pool is drawn; by popularity for softmax alone, corrected by logQ"
    )
    optimizer: Literal["adam", "adagrad"] = Field(
        "adam", description="adagrad: with one number of state a node, where neighbours are sampled"
    )

    @model_validator(mode="after")
    def _fits(self) -> TrainingConfig:
        """Refuse settings of sampling without sampling."""
        if self.sampling == "full" and (self.fanout or self.optimizer != "adam"):
            name = "fanout" if self.fanout else "optimizer"
            raise CombinationError(f"{name} is for sampling neighbours", NEIGHBOR)
        if self.pool_by == "popularity" and not self.pool:
            raise CombinationError("pool_by popularity needs a pool", "add --pool 1024, say")
        return self

    @property
    def hops(self) -> int:
        """Hops of the fan-out; 0 where it leaves them open."""
        columns = list(self.fanout.values()) if isinstance(self.fanout, dict) else [self.fanout]
        return len(columns[0]) if columns else 0


class RunConfig(BaseModel):
    """One run: which model, with which settings, trained how.

    ``models`` holds the settings of the model and, for a fusion, of each of its views, by name; ``view_training`` what
    of ``training`` is otherwise for some of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "fused"
    seed: int = Field(0, ge=0)
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    refit: bool = Field(False, description="train once more on all train rows, for the epochs chosen on select")
    warm_start: str = Field("", description="a finished run whose vectors training starts from; empty: from none")
    training: TrainingConfig = TrainingConfig()
    view_training: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description=f"by view: its own {', '.join(BY_VIEW)}"
    )
    models: dict[str, Any] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict, description="views that the data cannot carry, and why")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Settings objects for the model and its views, and for nothing else."""
        name = values.get("model", "fused")
        if model_class(name).name != name:
            raise CombinationError(
                f"model {name} has a label, which is for views of a fusion", "--model fused --views …"
            )
        given = {key: as_mapping(value) for key, value in values.get("models", {}).items()}
        settings = {name: make_settings(name, given.pop(name, {}))}
        if issubclass(model_class(name), Fused):
            settings |= {view: _view_settings(view, given.pop(view, {})) for view in settings[name].views}
        if given:
            raise UnknownNameError(f"settings for {', '.join(given)}, which model {name} does not use")
        return {**values, "models": settings}

    @model_validator(mode="after")
    def _trains_together(self) -> RunConfig:
        """Refuse to train views together that cannot be."""
        settings = self.models[self.model]
        if getattr(settings, "fuse", "stacked") != "joint":
            return self
        alone = [view for view in settings.views if not issubclass(model_class(view), EmbeddingModel)]
        if alone:
            raise CombinationError(
                f"fuse joint is for views like lightgcn and gat, not {', '.join(alone)}", "--fuse stacked"
            )
        if self.view_training or self.training.sampling == "neighbor":
            given = "view_training" if self.view_training else "sampling neighbor"
            raise CombinationError(
                f"fuse joint trains all views together on the whole graph, without {given}", "leave it out"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> RunConfig:
        """Refuse settings of the models that the way of training cannot serve."""
        training = self.training
        for name in self.view_training:
            self.training_of(name)
        for name, settings in self.models.items():
            if getattr(settings, "storage", "float32") != "float32" and training.sampling == "full":
                raise CombinationError(f"storage {settings.storage} of {name} is for sampling neighbours", NEIGHBOR)
            loss = getattr(settings, "loss", "softmax")
            if loss == "bpr" and training.pool_by == "popularity":
                raise CombinationError(
                    f"pool_by popularity is for the softmax loss, and {name} has bpr", "--loss softmax"
                )
            if loss in WITHOUT_NEGATIVES and training.pool:
                raise CombinationError(
                    f"a pool is for losses with negatives, and {name} has {loss}", "leave out --pool"
                )
            whole = getattr(settings, "whole_graph_only", None)
            if whole and training.sampling == "neighbor":
                raise CombinationError(f"{whole} of {name} is for the whole graph", "leave out --sampling neighbor")
        return self

    def training_of(self, view: str) -> TrainingConfig:
        """How a view is trained.

        Raises:
            UsageError: it has settings of its own that are none, or the run has no such view.

        >>> config = parse_config({"view_training": {"gat": {"epochs": 20}}})
        >>> config.training_of("gat").epochs, config.training_of("lightgcn").epochs
        (20, 200)
        """
        own = self.view_training.get(view, {})
        if own and view not in self.models:
            hint = nearest(view, self.models)
            raise UnknownNameError(f"view_training of {view}, which model {self.model} does not use", hint)
        if unknown := sorted(own.keys() - set(BY_VIEW)):
            raise UnknownNameError(
                f"view_training of {view} has {', '.join(unknown)}", f"it takes {', '.join(BY_VIEW)}"
            )
        return TrainingConfig.model_validate({**self.training.model_dump(), **own}) if own else self.training

    @field_serializer("models")
    def _plain(self, models: dict[str, Any]) -> dict[str, Any]:
        return {name: dataclasses.asdict(settings) for name, settings in models.items()}


def _view_settings(name: str, values: Mapping[str, Any]) -> Any:
    """The settings of a fusion's view.

    Raises:
        UsageError: naming the view.
    """
    try:
        return make_settings(name, values)
    except UsageError as error:
        if error.hint:  # of a setting that the view does not have, and the message names it
            raise
        raise type(error)(f"view {name}: {error.message}", OWN_TABLE) from None


def parse_config(values: Mapping[str, Any]) -> RunConfig:
    """A configuration from nested values, as TOML holds them.

    Raises:
        UsageError: naming the field, the rule and the value.
    """
    try:
        return RunConfig.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{field}: {first['msg'].lower()}, got {first['input']!r}") from None
    except TypeError as error:  # a setting's rule met text where a number belongs, say
        raise SettingError(f"a setting of the models has the wrong type: {error}") from None


def as_mapping(value: Any) -> dict[str, Any]:
    """A model's settings as nested values, whichever they are given as.

    Raises:
        UsageError: they are neither.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if not isinstance(value, Mapping):
        raise SettingError(f"the settings of a model must be a table, got {value!r}")
    return dict(value)
