"""Every error a user can meet. Each has a stable ``code`` and the exit status the command line ends with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GraphrecError(Exception):
    """Base of all errors that graphrec raises on purpose: what is wrong, where, and what to do next.

    Args:
        message: what is wrong and where (file, line, field, value).
        hint: the next step, printed on a line of its own; may be empty.
    """

    code = "error"
    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n{hint}")
        self.message = message
        self.hint = hint


class DataError(GraphrecError):
    """The input tables or a graph folder are wrong."""

    code = "data"


class UnknownIdError(DataError):
    """An id that the catalogue or the user list does not hold."""

    code = "unknown-id"


class RunError(GraphrecError):
    """A run folder is missing, foreign, damaged or in use."""

    code = "run"


class TrainingError(GraphrecError):
    """Training cannot go on (a loss that is not finite, say)."""

    code = "training"


class UsageError(GraphrecError):
    """The call itself is wrong: an unknown option, model, value or combination."""

    code = "usage"
    exit_status = 2


class OutputError(GraphrecError):
    """A result cannot be written (a full disk, say)."""

    code = "output"


class MissingExtraError(GraphrecError):
    """An optional dependency is needed and not installed.

    Args:
        package: the import that failed.
        extra: the graphrec extra that brings it.
    """

    code = "missing-extra"
    exit_status = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", f"install it with: pip install 'graphrec[{extra}]'")


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """A hint that lists the known names closest to ``name``; empty if none is close.

    >>> nearest("lightgnc", ["gat", "lightgcn"])
    'did you mean lightgcn?'
    """
    close = difflib.get_close_matches(name, list(known), n=count)
    return f"did you mean {', '.join(close)}?" if close else ""
