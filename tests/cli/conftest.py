"""A small bookshop, its graph folder and a run on it, made once by the commands themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graphrec.cli.app import app
from graphrec.data.synthetic import generate

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


@pytest.fixture(scope="session")
def call() -> Call:
    """Runs a command."""
    return call_graphrec


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with interactions.csv, knowledge.csv, items.csv, users.csv: 60 readers, 40 books."""
    folder = tmp_path_factory.mktemp("tables")
    generate(seed=3, num_users=60, num_items=40).save(folder)
    return folder


@pytest.fixture(scope="session")
def graph(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph folder."""
    out = tmp_path_factory.mktemp("built") / "graph"
    described = [f"--{name}={tables / name}.csv" for name in TABLES]
    succeed("build", tables / "interactions.csv", *described, "--out", out)
    return out


@pytest.fixture(scope="session")
def run(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a small graph-attention model."""
    out = tmp_path_factory.mktemp("runs") / "gat"
    succeed("train", graph, "--model=gat", "--heads=2", *QUICK, "--out", out)
    return out
