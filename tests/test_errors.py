"""Errors: every kind has a code of its own and a section on the page of errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphrec import errors
from graphrec.errors import DataError, GraphrecError, MissingExtraError, UsageError

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GraphrecError)]


def test_every_kind_has_a_code_and_a_section_of_its_own() -> None:
    sections = re.findall(r"^## (GR\d{3}) (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == sorted((kind.code, kind.__name__) for kind in KINDS)
    assert len({code for code, _ in sections}) == len(KINDS) > 25


def test_every_raised_kind_is_one_of_them() -> None:
    """Also those that a module defines for itself would have to stand on the page."""
    known, waiting = set(KINDS), [GraphrecError]
    while waiting:
        kind = waiting.pop()
        assert kind in known, f"{kind} is not in graphrec.errors"
        waiting += kind.__subclasses__()


@pytest.mark.parametrize("kind", KINDS)
def test_the_exit_status_follows_the_code(kind: type[GraphrecError]) -> None:
    status = 2 if issubclass(kind, UsageError) else 130 if kind.code == "GR001" else 1
    assert kind.exit_status == status
    assert (kind.code >= "GR060") == issubclass(kind, UsageError)
    assert ("GR010" <= kind.code < "GR030") == issubclass(kind, DataError)


def test_what_is_told() -> None:
    error = DataError("log.csv: wrong", "mend it")
    assert str(error) == "GR010 log.csv: wrong\nmend it"
    assert (error.message, error.hint) == ("log.csv: wrong", "mend it")
    assert str(UsageError("no")) == "GR060 no"
    assert str(MissingExtraError("faiss", "faiss")).endswith("pip install 'graphrec[faiss]'")
