"""An explanation in words: the caller's ids and names where ``graphrec.explain`` has node numbers."""

from __future__ import annotations

from dataclasses import dataclass

from graphrec.data import Dataset
from graphrec.explain import Explanation, Path
from graphrec.graph.hetero import REVERSE


@dataclass(frozen=True)
class Reason:
    """A path from the user to the item in words, with how strong it is and what the score is without it.

    Args:
        text: node names joined by relations.
        weight: see ``graphrec.explain.Path``.
        effect: the score minus the score when the path's edges are not in the graph.
    """

    text: str
    weight: float
    effect: float


@dataclass(frozen=True)
class ExplainedPair:
    """Why a user gets an item.

    Args:
        user_id, item_id: the pair.
        title: the item's title, or its id.
        score: as ``recommend`` gives it.
        views: each view's part of the score.
        path_view: the view whose paths are shown.
        reasons: strongest first.
    """

    user_id: str
    item_id: str
    title: str
    score: float
    views: dict[str, float]
    path_view: str | None
    reasons: tuple[Reason, ...]


def in_words(dataset: Dataset, user: str, item: str, title: str, found: Explanation) -> ExplainedPair:
    """What ``explain_pair`` found for a user and an item of a dataset."""
    reasons = tuple(Reason(_sentence(dataset, path), path.weight, path.effect) for path in found.paths)
    return ExplainedPair(user, item, title, found.score, found.views, found.path_view, reasons)


def _sentence(dataset: Dataset, path: Path) -> str:
    text = dataset.node_name(path.nodes[0])
    for relation, node in zip(path.relations, path.nodes[1:], strict=True):
        text += f" {_step(relation)} {dataset.node_name(node)}"
    return text


def _step(relation: str) -> str:
    """An edge as read on the way from the user to the item, against the way that messages take.

    >>> _step("rev_author"), _step("author")
    ('—author→', '←author—')
    """
    if relation == "similar":
        return "—similar—"
    return f"—{relation.removeprefix(REVERSE)}→" if relation.startswith(REVERSE) else f"←{relation}—"
