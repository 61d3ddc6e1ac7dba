"""Each example runs as a reader would run it, in small, and says what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graphrec import Dataset, load

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "datasets" / "sample"


def run(example: str, *arguments: str | Path, folder: Path) -> str:
    """The example's stdout; it is run in ``folder``, so nothing may depend on where it starts."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_graph_from_csv(tmp_path: Path) -> None:
    output = run("build_graph_from_csv.py", "--out", "graph", folder=tmp_path)
    data = Dataset.load(tmp_path / "graph")
    assert f"{data.num_users} users, {data.num_items} items, {data.num_entities} entities" in output
    assert "HeteroGraph(" in output and '"interacts"' in output
    assert "<- interacts - " in output


def test_a_graph_from_interactions_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("user_id,item_id\n007,a\n7,a\n7,b\n", encoding="utf-8")
    output = run("build_graph_from_csv.py", "mine.csv", folder=tmp_path)
    assert "2 users, 2 items, 0 entities" in output
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.csv"]


def test_training_a_gat(tmp_path: Path) -> None:
    sizes = ("--epochs", "2", "--width", "8", "--heads", "2", "--k", "3")
    output = run("train_gat.py", *sizes, "--user", "bob", "--out", "run", folder=tmp_path)
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line[:1].isalpha()}
    for model in ("gat", "item_knn", "popularity"):
        assert all(0 <= float(value) <= 1 for value in rows[model])
    assert "for bob:" in output and "why " in output
    recommended = load(tmp_path / "run").recommend(["bob"], k=3)["item_id"].tolist()
    assert len(recommended) == 3
    assert all(item in output for item in recommended)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"absent\.csv: no such file"):
        run("train_gat.py", SAMPLE / "interactions.csv", "--knowledge", "absent.csv", folder=tmp_path)


def test_the_library(tmp_path: Path) -> None:
    output = run("use_as_library.py", "--epochs", "1", folder=tmp_path)
    assert "the same recommendations: True" in output
    assert "ExplainedPair(user_id='alice', item_id='i9'" in output
    sections = output.split("\n-- ")
    assert len(sections) == 7
    for section in sections[1:]:
        assert len(section.splitlines()) > 1
    assert "similar_id" in output and "recall@20" in sections[-1]


def test_the_gpu_benchmark_in_tiny(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    output = run("benchmarks/gpu.py", "--tiny", "--json", "gpu.json", folder=tmp_path)
    assert "FAIL" not in output
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert len(found["checks"]) == 14 and all(check["error"] <= check["tolerance"] for check in found["checks"])
    assert len(found["rows"]) == 10
    for row in found["rows"]:
        assert row["eager_s"] > 0 and row["floor_s"] > 0 and row["work"] in output


def test_the_sampling_benchmark_in_tiny(tmp_path: Path) -> None:
    sizes = ("--interactions", "20000", "5000", "--calls", "2")
    output = run("benchmarks/sampling.py", *sizes, "--json", "sampling.json", folder=tmp_path)
    rows = json.loads((tmp_path / "sampling.json").read_text())
    assert [row["interactions"] for row in rows] == [5000, 20000]
    for row in rows:
        assert row["graphrec_edges"] > 1000 and row["graphrec_edges_per_s"] > 0
        assert f"| {row['interactions']:,} | {row['nodes']:,} |" in output
        assert row["peer"] or "not installed" in output
