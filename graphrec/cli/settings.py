"""Options of ``graphrec train`` for the settings of the models, made of the classes that hold the settings.

A setting is written once, in the dataclass of its model: field, type, default, rule, and a line of its docstring. That
line is the option's help.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Annotated, Any, get_type_hints

import typer

from graphrec.cli.errors import Guarded


class Settled(Guarded):
    """A command that takes the settings of all models as options besides its own; those given are in ``ctx.obj``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own parameters, then an option for each setting. Importing the models takes a second."""
        if not hasattr(self, "_settings"):
            self._settings = _options()
        return [*super().get_params(ctx), *self._settings]


def _options() -> list[Any]:
    """An option for each setting that some model has, in the order of the models."""
    from graphrec.models import MODELS

    owners: dict[str, list[Any]] = {}
    for model in MODELS.values():
        for field in dataclasses.fields(model.Settings):
            owners.setdefault(field.name, []).append(model)

    def settings(**values: Any) -> None:
        """What typer turns into options."""

    app = typer.Typer(add_completion=False)
    parameters = [_parameter(name, models) for name, models in owners.items()]
    settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    settings.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command()(settings)
    options = typer.main.get_command(app).params
    for option in options:
        option.expose_value, option.callback = False, _put
    return options


def _parameter(name: str, models: list[Any]) -> inspect.Parameter:
    """One setting; its help is that of the first model that has it, and says which models do."""
    settings = models[0].Settings
    kind, text = get_type_hints(settings)[name], described(settings)[name]
    info = typer.Option(
        help=f"{text.removesuffix('.')} ({', '.join(model.name for model in models)})",
        rich_help_panel="Settings of the models",
    )
    kind = kind if kind in (int, float, bool) else str  # several names are given as one text, joined by commas
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _put(ctx: Any, param: Any, value: Any) -> Any:
    """Keep what was given where ``given_settings`` finds it."""
    if value is not None:
        ctx.meta.setdefault(__name__, {})[param.name] = value
    return value


def given_settings(ctx: Any) -> dict[str, Any]:
    """The settings given to a ``Settled`` command, by field."""
    return dict(ctx.meta.get(__name__, {}))


def described(settings: type) -> dict[str, str]:
    """Field → what its docstring's ``Args`` say of it, with those of the classes it inherits from.

    >>> from graphrec.models import MODELS
    >>> described(MODELS["item_knn"].Settings)["neighbours"]
    'kept for each item, ≥ 1; memory and the time of ranking grow with it.'
    """
    found: dict[str, str] = {}
    for cls in reversed(settings.__mro__):
        words = inspect.cleandoc(cls.__doc__ or "")  # later versions of Python do so themselves
        arguments = re.search(r"^Args:\n(.*?)(?:\n\s*\n\w+:\n|\Z)", words, re.DOTALL | re.MULTILINE)
        for names, text in re.findall(
            r"^ {4}(\w+(?:, \w+)*): (.*?)(?=^ {4}\w|\Z)", arguments[1] if arguments else "", re.DOTALL | re.MULTILINE
        ):
            found |= {name: " ".join(text.split()).replace("``", "") for name in names.split(", ")}
    return found
