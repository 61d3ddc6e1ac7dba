"""A model under test, the small world it is tested in, and how a check speaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from graphrec.data import Dataset, Part, read_dataset, synthetic
from graphrec.graph import rows_csr
from graphrec.models import Model, TrainedModel, make_settings, model_class
from graphrec.recommender import Recommender, train
from graphrec.sampling import Batch
from graphrec.sparse import CSR
from graphrec.training.steps import make_batches

SIZE = {"num_users": 40, "num_items": 30}
RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far sums that are added in another order may be apart."""

REGISTERED: dict[str, Callable[[Subject], None]] = {}
"""Every check by its name."""


class NotApplicable(Exception):
    """The check asks for what the model is not made for; the text says why."""


def check(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """Make a function a check. It raises AssertionError where the contract is broken; its docstring is the contract."""
    REGISTERED[function.__name__] = function
    return function


def require(condition: bool, message: str) -> None:
    """Raise an AssertionError with what is wrong, unless ``condition``."""
    if not condition:
        raise AssertionError(message)


def close(ours: Any, expected: Any, message: str) -> None:
    """Require numbers, tensors or arrays that differ by rounding alone."""
    pair = [each if isinstance(each, Tensor) else torch.tensor(np.asarray(each)) for each in (ours, expected)]
    torch.testing.assert_close(*pair, rtol=RELATIVE, atol=ABSOLUTE, msg=lambda said: f"{message}: {_greatest(said)}")


def _greatest(said: str) -> str:
    """What torch's message says of the numbers that are furthest apart; all of it where it is about something else."""
    return next((line for line in said.splitlines() if "bsolute difference" in line), said)


def equal(ours: Tensor, expected: Tensor, message: str) -> None:
    """Require the same numbers, to the last bit."""
    require(torch.equal(ours, expected), message)


@dataclass
class Subject:
    """A model under test.

    Args:
        name: in ``MODELS``.
        options: as ``graphrec.train`` takes them, over the small ones that make a check quick.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def world(self) -> synthetic.World:
        """The tables of a small shop."""
        return synthetic.generate(seed=3, **SIZE)

    @cached_property
    def data(self) -> Dataset:
        """The shop, read and split. Nobody writes into its arrays."""
        return self.read()

    @cached_property
    def recommender(self) -> Recommender:
        """The model, trained on the shop."""
        return self.train(self.data)

    @property
    def model(self) -> Model:
        return self.recommender.model

    @property
    def everyone(self) -> Tensor:
        """The numbers of all users, int64 [U]."""
        return torch.arange(self.data.num_users, device=self.model.graph.device)

    @property
    def trained(self) -> TrainedModel:
        """The model, if it is trained by gradient."""
        if not isinstance(self.model, TrainedModel):
            raise NotApplicable("it is not trained by gradient")
        return self.model

    def read(self, interactions: pd.DataFrame | None = None, **tables: Any) -> Dataset:
        """The shop with other tables in place of some of its own."""
        world = self.world
        own: dict[str, Any] = {"knowledge": world.knowledge, "items": world.items, "users": world.users, "seed": 3}
        return read_dataset(world.interactions if interactions is None else interactions, **(own | tables))

    def train(self, data: Dataset, **options: Any) -> Recommender:
        """The model, trained on other data or with other options."""
        return train(data, self.name, **(self.quick | options))

    def batches(self) -> list[Batch]:
        """The batches of an epoch of the trained model."""
        config = self.recommender.run.config
        return list(make_batches(self.trained, config.training_of(self.name), seed=1).epoch(1))

    @cached_property
    def quick(self) -> dict[str, Any]:
        """The options, over small ones."""
        views = getattr(make_settings(self.name, {}), "views", (self.name,))
        fields = {field.name for view in views for field in dataclasses.fields(model_class(view).Settings)}
        small = {"epochs": 2, "batch_size": 64, "seed": 1} | ({"width": 8} if "width" in fields else {})
        return small | dict(self.options)


def state_of(model: Model) -> dict[str, bytes]:
    """All that training changes, as bytes."""
    return {name: tensor.cpu().contiguous().numpy().tobytes() for name, tensor in model.state_dict().items()}


def scores_of(recommender: Recommender) -> Tensor:
    """All scores of a recommender, float32 [U, I]."""
    users = torch.arange(recommender.dataset.num_users, device=recommender.model.graph.device)
    return recommender.model.score_block(users)


def same_run(one: Recommender, other: Recommender, message: str) -> None:
    """Require two trainings to end in the same bytes."""
    ours, theirs = state_of(one.model), state_of(other.model)
    differing = [name for name in ours if ours[name] != theirs.get(name)]
    require(ours.keys() == theirs.keys() and not differing, f"{message}: other {', '.join(differing) or 'names'}")
    equal(scores_of(one), scores_of(other), f"{message}: scores differ")


def histories(subject: Subject, *items: list[int]) -> CSR:
    """What people the model has never met have used, a list of item numbers each."""
    person = np.repeat(np.arange(len(items)), [len(used) for used in items])
    item = np.array([number for used in items for number in used], dtype=np.int64)
    return CSR.from_pairs(person, item, len(items), subject.data.num_items).to(subject.model.graph.device)


def without(data: Dataset, part: Part) -> Dataset:
    """The dataset without the rows of a part; its users and items stay."""
    rows = data.interactions
    kept = rows.part != part
    columns = {name: value[kept] for name, value in vars(rows).items() if isinstance(value, np.ndarray)}
    return replace(data, interactions=replace(rows, **columns))


def train_rows(data: Dataset, *parts: Part) -> CSR:
    """The interactions of some parts, CSR [U, I]."""
    return rows_csr(data, parts)
