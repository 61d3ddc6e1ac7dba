"""Running commands in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from graphrec.cli.app import app

QUICK = ("--width=8", "--epochs=3", "--seed=1")
TABLES = ("knowledge", "items", "users")


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Outcome]


def call_graphrec(*arguments: object) -> Outcome:
    """Run a command in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="graphrec")
    return Outcome(done.exit_code, done.stdout, done.stderr)


def succeed(*arguments: object) -> Outcome:
    """Run a command that must not fail."""
    done = call_graphrec(*arguments)
    assert done.status == 0, done.err
    return done
