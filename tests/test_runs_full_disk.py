"""A disk that is full at any write of a run: a coded error, nothing half written, and the same bytes in the end."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from graphrec import report
from graphrec.files import sha256, write_text
from tests.cli.calling import Outcome, call_graphrec
from tests.disk import Disk
from tests.worlds import small_world

OPTIONS = ("--model=lightgcn", "--width=4", "--layers=1", "--epochs=1", "--batch-size=4096")


def digests(run: Path) -> dict[str, str]:
    """What is to be the same in the end."""
    history = pd.read_csv(run / "history.csv").drop(columns=["seconds", "pairs_per_second"])
    paths = [run / "metrics.json", run / "config.toml", *(run / "model").rglob("*.*")]
    found = {path.relative_to(run).as_posix(): sha256(path) for path in paths}
    return found | {"history.csv": history.to_csv(index=False)}


def train(graph: Path, run: Path) -> Outcome:
    """Begin a run, or go on with it."""
    if (run / "config.toml").exists():
        return call_graphrec("train", "--resume", "--out", run)
    return call_graphrec("train", graph, *OPTIONS, "--out", run)


def test_a_full_disk_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, graph = Disk(), tmp_path / "graph"
    monkeypatch.setattr(os, "fsync", disk.fsync)
    monkeypatch.setattr(report, "write_report", lambda out: write_text(out / "report.html", "") or out)
    small_world(num_users=20, num_items=20).save(graph)
    disk.fill(0)
    assert train(graph, tmp_path / "whole").status == 0
    expected, writes = digests(tmp_path / "whole"), disk.flushes
    assert writes > 40
    for flush in range(1, writes + 1):
        run = tmp_path / f"full-at-{flush}"
        disk.fill(flush)
        full = train(graph, run)
        assert full.status == 1 and f"graphrec: GR050 cannot write {run}: " in full.err
        assert "No space left on device" in full.err and "unexpected" not in full.err
        assert not [path for path in run.rglob(".*") if path.name != ".starting"]
        disk.fill(0)
        done = train(graph, run)
        assert done.status == 0, done.err
        assert digests(run) == expected
