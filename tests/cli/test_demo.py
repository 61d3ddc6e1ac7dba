"""demo: from nothing to an explained recommendation, by the commands that it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphrec.cli.demo import MARK, _make_room
from graphrec.data import synthetic
from tests.cli.calling import Call


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that takes seconds."""
    world = synthetic.generate(seed=3, num_users=60, num_items=40)
    monkeypatch.setattr(synthetic, "generate", lambda: world)


def test_demo(call: Call, tmp_path: Path, small: None) -> None:
    out = tmp_path / "demo"
    done = call("demo", "--out", out)
    assert done.status == 0, done.err
    shown = [line.split()[2] for line in done.err.splitlines() if line.startswith("$ graphrec")]
    assert shown == ["build", "train", "evaluate", "recommend", "explain"]
    assert "alice" in done.out
    assert (out / "run" / "report.html").exists()
    (out / "notes.txt").write_text("mine")
    _make_room(out)
    assert {path.name for path in out.iterdir()} == {MARK, "notes.txt"}


def test_demo_leaves_other_folders_alone(call: Call, tmp_path: Path, small: None) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = call("demo", "--out", tmp_path)
    assert done.status == 1
    assert "--out" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
