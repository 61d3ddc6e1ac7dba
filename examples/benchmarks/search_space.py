"""Views with what is searched over, from TOML, and the settings that are tried of each."""

from __future__ import annotations

import json
import math
import tomllib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np

from graphrec.config import RunConfig, TrainingConfig, make_config
from graphrec.data import Dataset
from graphrec.errors import DataError
from graphrec.files import write_text
from graphrec.models import MODELS, Fused
from graphrec.training import settle_views

HERE = Path(__file__).resolve().parent

Options = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A model with its search space.

    Args:
        name: of the view; several may have one model.
        model: its name in the registry.
        options: that all trials share.
        search: setting → the values to draw from.
        needs: "knowledge" where a data set without it cannot tell anything of the view.
        fuses: the models of a fusion, those that are there; their settings are the ones that were chosen for them.
        minutes: for which views and epochs are chosen by graphrec; 0 where they are given here.
    """

    name: str
    model: str
    options: Options = field(default_factory=dict)
    search: dict[str, list[Any]] = field(default_factory=dict)
    needs: str = ""
    fuses: tuple[str, ...] = ()
    minutes: float = 0.0

    @property
    def is_fusion(self) -> bool:
        """Whether it weighs several views, on blend rows."""
        return self.model == Fused.name

    def obstacle(self, data: Dataset) -> str:
        """Why the view is left out for a data set; empty if it is not."""
        if self.model not in MODELS:
            return f"this graphrec has no model {self.model}"
        if self.needs == "knowledge" and not len(data.knowledge):
            return "the data has no knowledge"
        if self.is_fusion:  # the models that the data can carry
            return ""
        try:
            self.config(data, self.options)
        except DataError as error:
            return str(error)
        return ""

    def config(self, data: Dataset, options: Options, training: Options | None = None, **others: Any) -> RunConfig:
        """A run's configuration from settings and, of those that all views share, what concerns this model.

        Raises:
            DataError: the model cannot be fitted on this data.
        """
        known = {each.name for each in fields(MODELS[self.model].Settings)} | set(TrainingConfig.model_fields)
        shared = {name: value for name, value in (training or {}).items() if name in known}
        return settle_views(make_config(self.model, **(shared | options), **others), data)

    def draw(self, trials: int, seed: int) -> list[Options]:
        """Distinct settings, ``trials`` of them, or all where there are no more.

        A value is drawn by (seed, name of the setting, number of the draw), so that views which share a setting try the
        same values of it.

        >>> knn = View("knn", "item_knn", {"shrink": 1.0}, {"neighbours": [10, 20]})
        >>> knn.draw(trials=8, seed=1)
        [{'shrink': 1.0, 'neighbours': 10}, {'shrink': 1.0, 'neighbours': 20}]
        """
        if math.prod(map(len, self.search.values())) <= trials:
            found = [dict(zip(self.search, values, strict=True)) for values in product(*self.search.values())]
            return [self.options | own for own in found]
        drawn: list[Options] = []
        for number in count():
            own = {name: pick(values, name, seed, number) for name, values in self.search.items()}
            if own not in drawn:
                drawn.append(own)
            if len(drawn) == trials:
                return [self.options | own for own in drawn]
        raise AssertionError


def once(file: Path, told: Options, make: Callable[[], Options]) -> Options:
    """What the file holds, or, unless it is of these settings, what ``make`` gives, written there with them.

    Args:
        file: JSON; need not exist.
        told: all that decides the result, and stands beside it.
        make: the result.
    """
    if not holds(file, told):
        write_text(file, json.dumps(told | make(), indent=1) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def holds(file: Path, told: Options) -> bool:
    """Whether a file of JSON is there and has these values."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return bool(found) and all(found.get(name) == value for name, value in told.items())


def pick(values: list[Any], name: str, seed: int, number: int) -> Any:
    """One of the values."""
    return values[int(np.random.default_rng([seed, zlib.crc32(name.encode()), number]).integers(len(values)))]


def read_toml(name: str) -> dict[str, Any]:
    """A file of this folder."""
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def read_views(names: list[str] | None = None) -> list[View]:
    """The views of views.toml; some of them, in that order, if they are named.

    Raises:
        SystemExit: a view that is not there.
    """
    views = {name: View(name, **values) for name, values in read_toml("views.toml").items()}
    unknown = [name for name in names or [] if name not in views]
    if unknown:
        raise SystemExit(f"no view {', '.join(unknown)} in views.toml; it has {', '.join(views)}")
    return [view for name, view in views.items() if not names or name in names]
