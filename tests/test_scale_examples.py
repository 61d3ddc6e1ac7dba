"""examples/benchmarks/scale.py in small: what it draws, how it measures and goes on, what its tables say."""

from __future__ import annotations

import doctest
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

from graphrec import read_dataset

FOLDER = Path(__file__).parent.parent / "examples" / "benchmarks"

MINIATURE = ("--steps=2", "--batches=2", "--epochs=1", "--rank-users=0")

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(FOLDER)
    import planted
    import scale_stages
    import scale_tables
    import scale_work


def drawn(folder: Path) -> pd.DataFrame:
    """The rows of all parts, in order."""
    return pd.concat([pd.read_parquet(part) for part in sorted(folder.glob("part-*.parquet"))], ignore_index=True)


def scale(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of scale.py on its miniature."""
    command = [sys.executable, FOLDER / "scale.py", "--edges=2e4", f"--work={folder}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("module", [planted, scale_stages, scale_tables])
def test_its_examples_run(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


def test_use_and_popularity_follow_power_laws(tmp_path: Path) -> None:
    planted.write_parts(100_000, tmp_path)
    table = drawn(tmp_path)
    assert len(table) == 100_000 and len(list(tmp_path.iterdir())) == 4
    assert table.dtypes.astype(str).tolist() == ["str", "str", "int64"] and table["timestamp"].is_monotonic_increasing
    users, items = table["user_id"].value_counts(), table["item_id"].value_counts()
    assert len(users) == 5000 and users.min() == 5
    assert len(items) == 1000 and items.max() > 15 * items.median() > 0
    tail = [(users >= degree).sum() for degree in (20, 40, 80, 160)]  # each doubling loses about the same share
    assert all(2 < more / fewer < 4 for more, fewer in itertools.pairwise(tail))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        planted.write_parts(2000, tmp_path / name, seed)
    one, same, other = (
        [part.read_bytes() for part in sorted((tmp_path / name).iterdir())] for name in ("one", "same", "other")
    )
    assert one == same and not set(one) & set(other)


def test_csv_holds_the_rows_of_all_parts(tmp_path: Path) -> None:
    planted.write_parts(2000, tmp_path / "parts")
    planted.write_csv(tmp_path / "parts", tmp_path / "all.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "all.csv"), drawn(tmp_path / "parts"))


def test_too_few_interactions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="edges must be >= 2000, got 1999"):
        planted.write_parts(1999, tmp_path / "few")


def test_items_are_drawn_within_the_group() -> None:
    sizes, generator = planted.Sizes(users=0, items=1000, groups=10), np.random.default_rng(0)
    group = generator.integers(0, 10, 100_000)
    item = planted.draw_items(group, sizes, generator)
    assert item.min() == 0 and item.max() < 1000
    assert (item % 10 == group).mean() == pytest.approx(0.7 + 0.3 / 10, abs=0.01)


def test_ranks_are_as_likely_as_the_law_says() -> None:
    count = np.bincount(planted.draw_ranks(1_000_000, 4, np.random.default_rng(0)))
    below = np.arange(1, 6) ** 0.25  # the integral of x^−0.75, but for its factor
    assert count / 1e6 == pytest.approx(np.diff(below) / (below[-1] - 1), abs=0.002)


@pytest.mark.parametrize("edges", [2000, 12_345])
def test_degrees_add_up(edges: int) -> None:
    degree = planted.draw_degrees(edges // 20, edges, np.random.default_rng(edges))
    assert degree.sum() == edges and degree.min() >= 5


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done = scale(tmp_path, "--keep", "--json", *MINIATURE)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    own = [row for row in rows if row["stage"] in scale_stages.STAGES]
    assert [row["stage"] for row in own] == list(scale_stages.STAGES)
    for row in own:
        assert row["edges"] == 20_000 and row["seconds"] > 0 and row["peak_mb"] > 20 and not row["extrapolated"]
    (table,) = (row for row in own if row["stage"] == "generate-csv")
    assert table["disk_mb"] == (tmp_path / "2e4" / "interactions.csv").stat().st_size / 1e6 > 0.5
    again = scale(tmp_path, "--json", *MINIATURE)
    assert json.loads(again.stdout) == rows and again.stderr == ""


def test_what_a_stage_needs_runs_first_and_is_removed_last(tmp_path: Path) -> None:
    done = scale(tmp_path, "--stages", "generate-csv")
    assert "| 20,000 | generate | " in done.stdout and "| 20,000 | generate-csv | " in done.stdout
    assert {path.suffix for path in (tmp_path / "2e4").iterdir()} == {".log"}


def test_a_stage_that_stops_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"status 1 from: (.|\n)*edges must be >= 2000, got 1000"):
        scale_stages.measure("generate", scale_stages.Size(1000, tmp_path), scale_stages.Budget())


def test_sampling_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.write_parts(4000, tmp_path / "parts")
    read_dataset(drawn(tmp_path / "parts"), split="random").save(tmp_path / "graph")
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    graph = scale_work.open_graph(tmp_path / "graph")
    user, item = scale_work.draw_pairs(graph, step=0)
    for one, other in zip(user.tolist(), item.tolist(), strict=True):
        assert one < graph.num_users <= other
        assert other in graph.adjacency.col[graph.adjacency.rowptr[one] : graph.adjacency.rowptr[one + 1]]
    found = scale_work.sample(tmp_path / "graph", batches=2)
    assert found["graph_edges"] == graph.adjacency.num_edges and found["edges_per_second"] > 0
    assert len(torch.cat([user, item]).unique()) / 2 < found["nodes_per_step"] <= graph.num_nodes
    assert found["seconds_per_node"] == pytest.approx(found["seconds_per_step"] / found["nodes_per_step"])


def test_commands_are_those_that_anyone_would_type(tmp_path: Path) -> None:
    for edges, run in ((20_000, "run"), (2_000_000, "run-steps")):
        size, budget = scale_stages.Size(edges, tmp_path), scale_stages.Budget(rank_users=2000)
        size.folder.mkdir()
        commands = {}
        for name, stage in scale_stages.STAGES.items():
            read = size.output(stage.needs) if stage.needs else tmp_path
            commands[name] = " ".join(map(str, stage.command(size, budget, read, size.output(name))))
        at = size.folder
        assert commands["ingest-parquet"].endswith(
            f" build {at}/interactions --memory 4GB --split random --seed 1 --out {at}/graph"
        )
        assert f" train {at}/graph --model gat --sampling neighbor --fanout 10,10 " in commands["train"]
        assert commands["export"].endswith(f" export {at}/{run} --out {at}/vectors")
        whom = "--all-users" if edges == 20_000 else f"--users-file {at}/users.txt"
        assert commands["rank"].endswith(f" recommend {at}/{run} {whom} --k 20 --out {at}/top.parquet")
    assert (size.folder / "users.txt").read_text().split()[::1999] == ["u0000000", "u0001999"]


def measured(edges: int, stage: str, seconds: float, **more: float) -> dict[str, object]:
    """A row as scale_stages makes them."""
    return {"edges": edges, "stage": stage, "seconds": seconds, "peak_mb": 100.0 + edges, "disk_mb": 8.0, **more}


def test_what_follows_from_a_part_is_labelled() -> None:
    rows = [
        measured(10, "train-steps", 9.0, seconds_per_step=0.5, steps_per_epoch=40.0),
        measured(10, "rank-one", 3.0),
        measured(10, "rank", 5.0, users_ranked=4, users=20),
        measured(20, "rank-one", 3.0),
        measured(20, "rank", 7.0, users_ranked=40, users=40),
    ]
    found = {(row["edges"], row["stage"]): row for row in scale_tables.derive(rows)}
    assert found[10, "an epoch"]["seconds"] == 0.5 * 40 and found[10, "an epoch"]["extrapolated"]
    assert found[10, "rank all"]["seconds"] == 3 + (5 - 3) * 20 / 4 and found[10, "rank all"]["disk_mb"] == 8 * 20 / 4
    assert found[20, "rank all"]["seconds"] == 7 and not found[20, "rank all"]["extrapolated"]
    assert sum(row["extrapolated"] for row in found.values()) == 2


def test_other_sizes_lie_on_the_line() -> None:
    rows = [
        {**measured(edges, stage, seconds), "extrapolated": False}
        for stage, times in (("sample", (3, 5)), ("rank all", (2, 5)), ("falls", (5, 4)))
        for edges, seconds in zip((10, 20), times, strict=True)
    ]
    rows.append({**measured(10, "once", 1.0), "extrapolated": False})
    found = {row["stage"]: row for row in scale_tables.extrapolate(rows, [100])}
    assert found["sample"]["seconds"] == pytest.approx(1 + 0.2 * 100)  # through (10, 3) and (20, 5)
    assert found["rank all"]["seconds"] == pytest.approx(1 + 0.01 * 100**2)  # through (10², 2) and (20², 5)
    assert found["falls"]["seconds"] == 5 and "once" not in found
    assert found["sample"]["peak_mb"] == pytest.approx(200) and found["sample"]["disk_mb"] == pytest.approx(8)
    assert scale_tables.show(list(found.values())).count("| extrapolated |") == 3


def test_the_plot(tmp_path: Path) -> None:
    rows = [{**measured(10**n, "sample", n), "extrapolated": n == 3} for n in (1, 2, 3)]
    scale_tables.plot(rows, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
