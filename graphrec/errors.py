"""Every error a user can meet. Each kind has a stable code, which docs/errors.md explains, and an exit status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GraphrecError(Exception):
    """Base of all errors that graphrec raises on purpose: what is wrong, where, and what to do next.

    Args:
        message: what is wrong and where (file, line, field, value).
        hint: the next step, printed on a line of its own; may be empty.

    >>> print(BadRowError("log.csv, line 3: rating 'good' is not a number", "correct it"))
    GR012 log.csv, line 3: rating 'good' is not a number
    correct it
    """

    code = "GR000"
    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code} {self.message}" + (f"\n{self.hint}" if self.hint else "")


class Interrupted(GraphrecError):
    """Ctrl-C was pressed."""

    code = "GR001"
    exit_status = 130  # what shells use for it


class DataError(GraphrecError):
    """The data are not what graphrec can work with."""

    code = "GR010"


class SourceError(DataError):
    """A file or folder to read is not there, or is of a kind that graphrec does not read."""

    code = "GR011"


class BadRowError(DataError):
    """A row of a table cannot be what it says."""

    code = "GR012"


class ColumnError(DataError):
    """A column is missing, there twice, or of a type that it cannot have."""

    code = "GR013"


class DamagedTableError(DataError):
    """A table cannot be read at all: its encoding, its quotes or its form are broken."""

    code = "GR014"


class NothingLeftError(DataError):
    """There is no row, no user, no item or no pair to work with."""

    code = "GR015"


class SplitError(DataError):
    """The data lack what a split needs, or are split already."""

    code = "GR016"


class VectorsError(DataError):
    """Vectors of items or users are not of the form that graphrec reads."""

    code = "GR017"


class GraphFolderError(DataError):
    """A graph folder is missing, unfinished, damaged or of a newer version."""

    code = "GR018"


class RoomError(DataError):
    """Memory or disk do not suffice."""

    code = "GR019"


class ChangedError(DataError):
    """A file has changed or vanished while it was read."""

    code = "GR020"


class UnknownIdError(DataError):
    """An id that the catalogue or the user list does not hold."""

    code = "GR021"


class UnsuitableDataError(DataError):
    """The data cannot carry the model that is asked for."""

    code = "GR022"


class GraphError(DataError):
    """Nodes or edges that are handed over do not make a graph."""

    code = "GR023"


class RunError(GraphrecError):
    """A run folder is missing, unfinished, or foreign."""

    code = "GR030"


class DamagedRunError(RunError):
    """A run folder, or a file in it, is damaged or not what it says."""

    code = "GR031"


class NewerRunError(RunError):
    """A run was written by a newer version of graphrec."""

    code = "GR032"


class BusyError(GraphrecError):
    """Another process is at work in the folder."""

    code = "GR033"


class TrainingError(GraphrecError):
    """Training cannot go on: a loss or scores are not finite."""

    code = "GR040"


class OutputError(GraphrecError):
    """A result cannot be written (a full disk, say)."""

    code = "GR050"


class OccupiedError(OutputError):
    """The place for a result holds something else, which stays as it is."""

    code = "GR051"


class UsageError(GraphrecError):
    """The call itself is wrong."""

    code = "GR060"
    exit_status = 2


class UnknownNameError(UsageError):
    """A model, option, view, format, relation or split of this name does not exist."""

    code = "GR061"


class SettingError(UsageError):
    """A setting has a value that its rule does not allow."""

    code = "GR062"


class CombinationError(UsageError):
    """What is asked for does not go together."""

    code = "GR063"


class ConfigError(UsageError):
    """A file of settings cannot be read."""

    code = "GR064"


class ArrayError(UsageError):
    """An array, a tensor, a table or a list of ids does not have the form that a function takes."""

    code = "GR065"


class BackendError(UsageError):
    """A device or a backend is not there, or cannot take what it is given."""

    code = "GR066"


class MissingExtraError(UsageError):
    """An optional dependency is needed and not installed.

    Args:
        package: the import that failed.
        extra: the graphrec extra that brings it.
    """

    code = "GR067"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", f"install it with: pip install 'graphrec[{extra}]'")


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """A hint that lists the known names closest to ``name``; empty if none is close.

    >>> nearest("lightgnc", ["gat", "lightgcn"])
    'did you mean lightgcn?'
    """
    close = difflib.get_close_matches(name, list(known), n=count)
    return f"did you mean {', '.join(close)}?" if close else ""
