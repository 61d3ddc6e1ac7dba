"""A small bookshop, its graph folder and a run on it, made once by the commands themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphrec.data.synthetic import generate
from tests.cli.calling import QUICK, TABLES, Call, call_graphrec, succeed


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
