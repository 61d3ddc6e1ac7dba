"""Everything that decides a run, validated once, frozen, and written beside the run as TOML."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from graphrec.errors import UsageError, nearest
from graphrec.files import write_text
from graphrec.models import EmbeddingModel, Fused, make_settings, model_class
from graphrec.models.base import Range
from graphrec.models.objective import WITHOUT_NEGATIVES

NEIGHBOR = "add --sampling neighbor"
OWN_TABLE = (
    "a setting for one view alone stands in the view's own table, [models.VIEW], of a TOML file given by --config"
)
RECIPES = Path(__file__).parent / "recipes"
BY_VIEW = ("epochs", "batch_size", "learning_rate", "patience", "eval_every")  # what a view may have of its own


class TrainingConfig(BaseModel):
    """How models with gradients are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(200, ge=1, description="passes over the training pairs, at most")
    batch_size: int = Field(1024, ge=1, description="pairs a step")
    learning_rate: Annotated[float, Range(1e-3, 3e-2, log=True)] = Field(1e-2, gt=0, description="of the optimiser")
    patience: int = Field(5, ge=0, description="evaluations without a better one before stopping; 0 never stops early")
    eval_every: int = Field(5, ge=1, description="epochs between evaluations on the select rows")
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
            raise UsageError(f"{name} is for sampling neighbours", NEIGHBOR)
        if self.pool_by == "popularity" and not self.pool:
            raise UsageError("pool_by popularity needs a pool", "add --pool 1024, say")
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
            raise UsageError(f"model {name} has a label, which is for views of a fusion", "--model fused --views …")
        given = {key: _as_mapping(value) for key, value in values.get("models", {}).items()}
        settings = {name: make_settings(name, given.pop(name, {}))}
        if issubclass(model_class(name), Fused):
            settings |= {view: _view_settings(view, given.pop(view, {})) for view in settings[name].views}
        if given:
            raise UsageError(f"settings for {', '.join(given)}, which model {name} does not use")
        return {**values, "models": settings}

    @model_validator(mode="after")
    def _trains_together(self) -> RunConfig:
        """Refuse to train views together that cannot be."""
        settings = self.models[self.model]
        if getattr(settings, "fuse", "stacked") != "joint":
            return self
        alone = [view for view in settings.views if not issubclass(model_class(view), EmbeddingModel)]
        if alone:
            raise UsageError(f"fuse joint is for views like lightgcn and gat, not {', '.join(alone)}", "--fuse stacked")
        if self.view_training or self.training.sampling == "neighbor":
            given = "view_training" if self.view_training else "sampling neighbor"
            raise UsageError(
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
                raise UsageError(f"storage {settings.storage} of {name} is for sampling neighbours", NEIGHBOR)
            loss = getattr(settings, "loss", "softmax")
            if loss == "bpr" and training.pool_by == "popularity":
                raise UsageError(f"pool_by popularity is for the softmax loss, and {name} has bpr", "--loss softmax")
            if loss in WITHOUT_NEGATIVES and training.pool:
                raise UsageError(f"a pool is for losses with negatives, and {name} has {loss}", "leave out --pool")
            whole = getattr(settings, "whole_graph_only", None)
            if whole and training.sampling == "neighbor":
                raise UsageError(f"{whole} of {name} is for the whole graph", "leave out --sampling neighbor")
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
            raise UsageError(f"view_training of {view}, which model {self.model} does not use", hint)
        if unknown := sorted(own.keys() - set(BY_VIEW)):
            raise UsageError(f"view_training of {view} has {', '.join(unknown)}", f"it takes {', '.join(BY_VIEW)}")
        return TrainingConfig.model_validate({**self.training.model_dump(), **own}) if own else self.training

    @field_serializer("models")
    def _plain(self, models: dict[str, Any]) -> dict[str, Any]:
        return {name: dataclasses.asdict(settings) for name, settings in models.items()}


def make_config(model: str = "fused", **options: Any) -> RunConfig:
    """A run's configuration from flat options, each put where it belongs.

    A setting that several of the run's models have (``width``, say) is set for all of them; a value that one of them
    refuses is an error.

    Args:
        model: name of the model.
        options: fields of ``RunConfig``, of ``TrainingConfig``, and settings of the model and its views.

    Raises:
        UsageError: an unknown model or option, or a value that breaks a rule.

    >>> config = make_config("gat", epochs=20, width=32)
    >>> config.training.epochs, config.models["gat"].width
    (20, 32)
    """
    return override({}, model=model, **options)


def override(values: Mapping[str, Any], **options: Any) -> RunConfig:
    """A configuration from nested values with flat options, as ``make_config`` takes them, laid over them.

    Raises:
        UsageError: an unknown model or option, or a value that breaks a rule.

    >>> override({"model": "gat", "training": {"epochs": 20, "patience": 3}}, epochs=5).training.epochs
    5
    """
    return parse_config(laid_over(values, **options))


def laid_over(values: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """What ``override`` makes a configuration of: nested values, those alone that are given.

    Raises:
        UsageError: an unknown model or option.

    >>> laid_over({}, model="lightgcn", epochs=3, layers=2)
    {'training': {'epochs': 3}, 'models': {'lightgcn': {'layers': 2}}, 'view_training': {}, 'model': 'lightgcn'}
    """
    merged: dict[str, Any] = {"training": {}, "models": {}, "view_training": {}} | dict(values)
    for part in ("training", "models", "view_training"):
        if not isinstance(merged[part], Mapping):
            raise UsageError(f"{part} must be a table, got {merged[part]!r}")
        merged[part] = dict(merged[part])
    merged["model"] = model = options.get("model", merged.get("model", "fused"))
    members = _members(model, merged["models"], options)
    fields = {name: [f.name for f in dataclasses.fields(model_class(name).Settings)] for name in members}
    for option, value in options.items():
        owners = [name for name in members if option in fields[name]]
        if option in RunConfig.model_fields and option not in ("left_out", "view_training"):
            merged[option] = value
        elif option in TrainingConfig.model_fields:
            merged["training"][option] = value
            merged["view_training"] = _without(merged["view_training"], option)
        elif owners:
            for name in owners:
                merged["models"][name] = {**_as_mapping(merged["models"].get(name, {})), option: value}
        else:
            known = [*RunConfig.model_fields, *TrainingConfig.model_fields, *chain(*fields.values())]
            raise UsageError(f"model {model} has no option {option!r}", nearest(option, known))
    if "layers" not in options:
        _follow_fanout(merged, [name for name in members if "layers" in fields[name]])
    return merged


def _without(view_training: Mapping[str, Any], option: str) -> dict[str, Any]:
    """The views' own ways of training, without an option that is now given for all of them."""
    return {view: {key: own[key] for key in own if key != option} for view, own in view_training.items()}


def _members(model: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """The model and, for a fusion, its views."""
    if not issubclass(model_class(model), Fused):
        return [model]
    given = options.get("views", _as_mapping(settings.get(model, {})).get("views"))
    views = make_settings(model, {} if given is None else {"views": given}).views
    return [model, *views]


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
        raise UsageError(f"view {name}: {error.message}", OWN_TABLE) from None


def _follow_fanout(merged: dict[str, Any], names: list[str]) -> None:
    """A layer for each hop of a fan-out, where nobody says how many layers there are to be."""
    fanout = merged["training"].get("fanout")
    columns = list(fanout.values()) if isinstance(fanout, Mapping) else [fanout]
    hops = len(columns[0]) if columns and isinstance(columns[0], list | tuple) else 0
    for name in names if hops else ():
        own = _as_mapping(merged["models"].get(name, {}))
        merged["models"][name] = {"layers": hops, **own}


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
        raise UsageError(f"{field}: {first['msg'].lower()}, got {first['input']!r}") from None
    except TypeError as error:  # a setting's rule met text where a number belongs, say
        raise UsageError(f"a setting of the models has the wrong type: {error}") from None


def read_config(path: Path, **options: Any) -> RunConfig:
    """Read a TOML file or a recipe; flat options, as ``make_config`` takes them, come before what it says.

    Raises:
        UsageError: no such file, not TOML, or not a configuration.

    >>> read_config(Path("gowalla"), seed=3).model
    'fused'
    """
    return override(read_values(path), **options)


def read_values(path: Path) -> dict[str, Any]:
    """What a TOML file holds, or the recipe of that name where there is no such file, unchecked.

    Raises:
        UsageError: no such file or recipe, or not TOML.
    """
    recipes = {file.stem: file for file in sorted(RECIPES.glob("*.toml"))}
    try:
        file = path if path.is_file() else recipes.get(str(path), path)
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = f"a file, or one of the recipes {', '.join(recipes)}"
        raise UsageError(f"cannot read the configuration {path}: {error}", hint) from None


def write_config(config: RunConfig, path: Path) -> None:
    """Write a TOML file, atomically."""
    write_text(path, tomli_w.dumps(config.model_dump(mode="json")))


def _as_mapping(value: Any) -> dict[str, Any]:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else dict(value)  # type: ignore[arg-type]
