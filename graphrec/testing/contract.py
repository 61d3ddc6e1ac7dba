"""Runs every check on a model, and says which ones it breaks."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphrec.models import model_class
from graphrec.testing import inputs, learning, lists, saving, scoring
from graphrec.testing.subject import REGISTERED, NotApplicable, Subject

MODULES = (scoring, learning, lists, saving, inputs)

CHECKS = {
    name: check for module in MODULES for name, check in REGISTERED.items() if check.__module__ == module.__name__
}
"""Every check by its name, in the order in which they run."""


@dataclass(frozen=True)
class Checked:
    """What came of one check.

    Args:
        name: of the check.
        contract: what it asks for, a sentence.
        not_applicable: why it asks nothing of this model; empty where the model passed it.
        broken: what is wrong, and where; empty where nothing is.
    """

    name: str
    contract: str
    not_applicable: str = ""
    broken: str = ""


def check_recommender(model: str, **options: Any) -> list[Checked]:
    """Check that a model keeps the contract that all of graphrec relies on.

    The model is trained some twenty times on a shop of 40 users and 30 items, which takes seconds. Every check runs,
    whatever those before it gave.

    Args:
        model: its name; a class of one's own stands in ``graphrec.models.MODELS`` by then.
        options: as ``graphrec.train`` takes them. Two epochs, batches of 64 and, where the model has one, a width of 8
            unless they say otherwise.

    Returns:
        A line a check, those included that ask nothing of this model, and why.

    Raises:
        AssertionError: the model breaks the contract; the message lists each check that it does not pass.
        UnknownNameError: no such model.

    >>> checked = check_recommender("popularity")
    >>> checked[0].name, checked[0].contract
    ('scores_of_a_block', 'The scores of B users are finite, float32 [B, I], on the device of the graph.')
    >>> [line.name for line in checked if line.broken]
    []
    """
    model_class(model)
    subject = Subject(model, options)
    checked = [_checked(subject, name) for name in CHECKS]
    broken = [line for line in checked if line.broken]
    if broken:
        told = "\n".join(f"- {line.name}: {line.contract}\n  {line.broken}" for line in broken)
        raise AssertionError(f"model {model} breaks {len(broken)} of {len(checked)} checks\n{told}")
    return checked


def _checked(subject: Subject, name: str) -> Checked:
    check = CHECKS[name]
    contract = " ".join((check.__doc__ or "").replace("``", "`").split())
    try:
        check(subject)
    except NotApplicable as reason:
        return Checked(name, contract, not_applicable=str(reason))
    except Exception as error:  # whatever a model of one's own does is a finding
        return Checked(name, contract, broken=f"{type(error).__name__}: {error} ({_place(error)})")
    return Checked(name, contract)


def _place(error: BaseException) -> str:
    """Where an error came from; for what a check found, the line of the check."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [number for number, frame in enumerate(frames) if frame.name in ("same_run", "require", "close", "equal")]
    place = frames[found[0] - 1 if found else -1]
    return f"{Path(place.filename).name}, line {place.lineno}"
