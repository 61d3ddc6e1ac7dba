"""Configurations from flat options, and from and to TOML files."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import tomli_w

from graphrec.config.run import RunConfig, TrainingConfig, as_mapping, parse_config
from graphrec.errors import ConfigError, SettingError, UnknownNameError, nearest
from graphrec.files import write_text
from graphrec.models import Fused, make_settings, model_class

RECIPES = Path(__file__).parent.parent / "recipes"


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
            raise SettingError(f"{part} must be a table, got {merged[part]!r}")
        merged[part] = dict(merged[part])
    merged["model"] = model = options.get("model", merged.get("model", "fused"))
    if not isinstance(model, str):
        raise SettingError(f"model must be a name, got {model!r}")
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
                merged["models"][name] = {**as_mapping(merged["models"].get(name, {})), option: value}
        else:
            known = [*RunConfig.model_fields, *TrainingConfig.model_fields, *chain(*fields.values())]
            raise UnknownNameError(f"model {model} has no option {option!r}", nearest(option, known))
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
    given = options.get("views", as_mapping(settings.get(model, {})).get("views"))
    views = make_settings(model, {} if given is None else {"views": given}).views
    return [model, *views]


def _follow_fanout(merged: dict[str, Any], names: list[str]) -> None:
    """A layer for each hop of a fan-out, where nobody says how many layers there are to be."""
    fanout = merged["training"].get("fanout")
    columns = list(fanout.values()) if isinstance(fanout, Mapping) else [fanout]
    hops = len(columns[0]) if columns and isinstance(columns[0], list | tuple) else 0
    for name in names if hops else ():
        own = as_mapping(merged["models"].get(name, {}))
        merged["models"][name] = {"layers": hops, **own}


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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        hint = f"a file, or one of the recipes {', '.join(recipes)}"
        raise ConfigError(f"cannot read the configuration {path}: {error}", hint) from None


def write_config(config: RunConfig, path: Path) -> None:
    """Write a TOML file, atomically."""
    write_text(path, tomli_w.dumps(config.model_dump(mode="json")))
