"""What every model is: something that scores users, known or new, against all items.

B users or items in a block, I items, U users.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from graphrec.errors import SettingError
from graphrec.graph import HeteroGraph
from graphrec.sparse import CSR


@dataclass(frozen=True)
class Range:
    """The values of a setting that a search may try.

    Args:
        low, high: ends of a range of numbers, both belonging to it; whole numbers where both are.
        log: whether it is even in the logarithm.
        choices: the values one by one, in place of a range.
    """

    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class NoSettings:
    """The settings of a model that has none."""


class Model(nn.Module, ABC):
    """A scorer over one graph. Its state dict and its settings are all that is needed to build it again on that graph.

    Args:
        graph: what the model may know; it holds no held-out row.
        settings: an instance of the class's ``Settings``.
    """

    name: ClassVar[str]
    Settings: ClassVar[type] = NoSettings

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__()
        self.graph = graph
        self.settings = settings

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        """Why the model cannot serve a graph, as a clause ("the data has no timestamps"); None if it can.

        A fusion leaves such a view out and says so; alone, the model is refused.
        """
        return None

    def fit(self) -> None:
        """Compute the model from its graph in closed form. A model trained by gradient does nothing here."""

    def on_graph(self, graph: HeteroGraph) -> Self:
        """The same parameters on another graph of the same nodes, ready to score."""
        twin = type(self)(graph, self.settings).to(graph.device)
        twin.load_state_dict(self.state_dict())
        return twin.eval()

    @abstractmethod
    def score_block(self, users: Tensor) -> Tensor:
        """Scores of all items for known users; higher is better.

        Args:
            users: int64 [B], user numbers.

        Returns:
            float32 [B, I].
        """

    def vectors(self) -> tuple[Tensor, Tensor] | None:
        """Vectors of users and items whose inner products are the scores, float32 [U, W] and [I, W]; None if none are.

        A model that has them is ranked without a table of all scores.
        """
        return None

    @abstractmethod
    def fold_in(self, history: CSR) -> Tensor:
        """Scores of all items for people the model has never met, from the items they used.

        Args:
            history: [B, I], a row a person. Its values, where it has some, are places in the order of use (0 is the
                oldest, and what was used at once has one place), for models that read it; they are neither times nor
                weights.

        Returns:
            float32 [B, I].
        """

    @abstractmethod
    def similarity_block(self, items: Tensor) -> Tensor:
        """How alike all items are to the given ones.

        Args:
            items: int64 [B], item numbers.

        Returns:
            float32 [B, I]; an item's likeness to itself is its row's largest, or 0 where the model knows nothing of it.
        """


def check_setting(field: str, value: object, valid: bool, rule: str) -> None:
    """Raise a UsageError that names the field, the rule and the value, unless ``valid``.

    >>> check_setting("layers", -1, False, ">= 1")
    Traceback (most recent call last):
    ...
    graphrec.errors.SettingError: GR062 layers must be >= 1, got -1
    """
    if not valid:
        raise SettingError(f"{field} must be {rule}, got {value}")


def searched(default: Any, low: float = 0, high: float = 0, *, log: bool = False, choices: tuple[Any, ...] = ()) -> Any:
    """A field of a settings dataclass that a search may try other values of, see ``Range``; its default stays its own.

    >>> @dataclass(frozen=True)
    ... class Mine:
    ...     layers: int = searched(3, 1, 4)
    ...     width: int = 64
    >>> Mine(), ranges_of(Mine)
    (Mine(layers=3, width=64), {'layers': Range(low=1, high=4, log=False, choices=())})
    """
    return field(default=default, metadata={"searched": Range(low, high, log, choices)})


def ranges_of(settings: type) -> dict[str, Range]:
    """The fields of a settings dataclass that a search may try other values of, and which."""
    return {each.name: each.metadata["searched"] for each in fields(settings) if "searched" in each.metadata}
