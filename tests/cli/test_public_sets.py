"""Every public data set is checked, built and trained on for two epochs by the commands, and recommended from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from graphrec.data import Dataset
from tests.cli.calling import succeed

pytestmark = pytest.mark.realdata

FOLDERS = ("gowalla", "yelp2018", "lastfm-kgcn", "book-crossing-kg", "amazon-beauty-kg", "yelp-seq")
ROOT = Path(__file__).parents[2]


def tables_of(name: str, source: Path, made: Path) -> list[object]:
    """What ``check`` and ``build`` take for a set."""
    if name in FOLDERS:
        return [source]
    if name == "ml-latest-small":
        renamed = ["--column=user_id=userId", "--column=item_id=movieId"]
        return [source / "ratings.csv", f"--items={source / 'movies.csv'}", *renamed]
    if name == "grocery-rechorus":
        renamed = ["--delimiter=\\t", "--column=timestamp=time"]
        return [source / "train.csv", f"--items={source / 'item_meta.csv'}", *renamed]
    command = [sys.executable, str(ROOT / "datasets" / "prepare_lastfm.py"), str(source), str(made)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    read = ["--header=user_id,item_id,weight", "--delimiter=\\t", f"--test={source / 'test1.txt'}"]
    return [source / "data1.txt", *read, f"--knowledge={made / 'knowledge.csv'}"]


@pytest.mark.parametrize("name", [*FOLDERS, "ml-latest-small", "grocery-rechorus", "lastfm"])
def test_checked_built_trained_and_recommended_from(name: str, tmp_path: Path) -> None:
    source = Path(os.environ["GRAPHREC_DATA"]) / name
    if not source.is_dir():
        pytest.skip(f"{source} is not there")
    tables = tables_of(name, source, tmp_path / "made")
    found = succeed("check", *tables, "--json").json
    assert found["users"] > 0 and found["items"] > 0
    succeed("build", *tables, f"--out={tmp_path / 'graph'}")
    quick = ["--epochs=2", "--width=8", "--seed=1", *["--batch-size=4096"] * (name in ("gowalla", "yelp2018"))]
    succeed("train", tmp_path / "graph", "--model=gat", *quick, f"--out={tmp_path / 'run'}")
    losses = pd.read_csv(tmp_path / "run" / "history.csv")["loss"]
    assert len(losses) == 2 and losses[1] < losses[0]
    graph = Dataset.load(tmp_path / "run")
    user = graph.users.names([int(graph.interactions.user[0])])[0]
    listed = succeed("recommend", tmp_path / "run", f"--user={user}", "-k", 5, "--json").json
    assert len(listed) == 5
