"""examples/reproduce.py as a reader would run it, on a few rows in LightGCN's form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

SCRIPT = Path(__file__).parent.parent / "examples" / "reproduce.py"
RECIPE = """
name = "tiny"
users = 12
items = 9
train = 48
test = 12

[[row]]
view = "popularity"
model = "popularity"
minutes = 0.1

[[row]]
view = "lightgcn-2"
model = "lightgcn"
minutes = 1
published = { recall = 0.5, ndcg = 0.25, source = "nowhere" }
options = { layers = 1, width = 4, epochs = 2, batch_size = 16 }

[[row]]
view = "lightgcn-long"
model = "lightgcn"
minutes = 1000
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 users with 4 train items and 1 test item each, of 9 items, and a recipe for them."""
    root = tmp_path_factory.mktemp("tiny")
    generator = np.random.default_rng(1)
    drawn = [generator.permutation(9)[:5].tolist() for _ in range(12)]
    drawn[0] = [0, 1, 2, 3, 8]  # so that all items up to 8 are there
    for name, part in (("train", slice(4)), ("test", slice(4, 5))):
        lines = [" ".join(map(str, [user, *items[part]])) for user, items in enumerate(drawn)]
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (root / "recipe.toml").write_text(RECIPE)
    return root


def reproduce(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), "--out", str(folder / "out"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_rows_are_run_once_and_long_ones_wait(folder: Path) -> None:
    recipe = ("--recipe", str(folder / "recipe.toml"))
    done = reproduce(folder, *recipe, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["view"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["popularity", "lightgcn-2", "lightgcn-long"]
    for view in ("popularity", "lightgcn-2"):
        assert 0 <= rows[view]["ndcg@20"] <= rows[view]["recall@20"] == 1.0  # 20 places for 9 items
        assert rows[view]["users"] == 12 and rows[view]["seconds"] > 0
    assert rows["lightgcn-2"]["published"]["recall"] == 0.5
    assert rows["lightgcn-2"]["settings"]["epochs"] == 2
    assert rows["lightgcn-long"]["not_run"] == "not run: about 1000 minutes, --full"

    before = (folder / "out" / "results.jsonl").read_text()
    again = reproduce(folder, *recipe)
    assert again.returncode == 0 and (folder / "out" / "results.jsonl").read_text() == before
    lines = again.stdout.splitlines()
    assert lines[0] == "### tiny" and "0.5000 / 0.2500 (nowhere)" in again.stdout
    assert any(line.startswith("| lightgcn-long | not run") for line in lines)


def test_a_row_may_be_a_whole_configuration(folder: Path) -> None:
    """With too few people to weigh views by, the mean of both."""
    config = folder / "both.toml"
    config.write_text('model = "fused"\n[models.fused]\nviews = ["item_knn", "popularity"]\n')
    row = f'[[row]]\nview = "both"\nmodel = "fused"\nconfig = "{config}"\nminutes = 0.1\n'
    other = '[[row]]\nview = "other"\nmodel = "fused"\nminutes = 0.01\noptions = { views = ["rp3beta", "ease"] }\n'
    (folder / "whole.toml").write_text(RECIPE.partition("[[row]]")[0] + row + other)
    done = reproduce(folder, "--recipe", str(folder / "whole.toml"), "--json")
    assert done.returncode == 0, done.stderr
    second, found = json.loads(done.stdout)
    assert set(second["views"]) == {"rp3beta", "ease"}
    assert found["recall@20"] == 1.0 and found["settings"] == {"model": "fused", "config": str(config)}
    assert set(found["views"]) == {"item_knn", "popularity"} and found["fusion"]["judged"] == {}

    table = reproduce(folder, "--recipe", str(folder / "whole.toml")).stdout
    by = pd.read_parquet(next((folder / "out" / "per_user").glob("both-1-*.parquet"))).set_index(["view", "user_index"])
    change = by.loc["the fusion"]["ndcg@20"] - by.loc["popularity"]["ndcg@20"]
    assert len(change) == 12 and change.mean() == pytest.approx(
        found["ndcg@20"] - found["views"]["popularity"]["ndcg@20"]
    )
    p_value = stats.ttest_1samp(change, 0).pvalue
    assert f"| both | popularity | ndcg@20 | {found['ndcg@20']:.4f} | " in table and table.endswith(
        f"| {p_value:.2g} |\n"
    )


def test_a_data_set_of_other_sizes_has_no_recipe(folder: Path) -> None:
    done = reproduce(folder)
    assert done.returncode == 1
    assert "no recipe is for a data set of {'users': 12" in done.stderr
    assert "Gowalla, LightGCN's split: 29858 users" in done.stderr


def test_a_view_that_is_not_in_the_recipe_is_named(folder: Path) -> None:
    done = reproduce(folder, "--recipe", str(folder / "recipe.toml"), "--views", "nothing")
    assert done.returncode == 1 and "no view nothing; it has popularity, lightgcn-2" in done.stderr
