"""examples/benchmarks/kills.py in small: runs that SIGKILL ends at random moments, and that end in the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "benchmarks" / "kills.py"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_five_kills() -> None:
    command = [sys.executable, SCRIPT, "--kills=5", "--models=lightgcn,item_knn", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["model"] for row in rows] == ["lightgcn", "item_knn"]
    assert sum(row["kills"] for row in rows) >= 5
    assert all(row["same"] == row["runs"] > 0 for row in rows)
