"""The command line as a whole: starting up, failing, and telling what this machine has."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graphrec.cli.errors import interruptible
from tests.cli.calling import Call

COMMANDS = [
    "demo",
    "doctor",
    "check",
    "build",
    "train",
    "evaluate",
    "recommend",
    "similar",
    "explain",
    "extend",
    "export",
    "bench",
]


def test_help_lists_the_commands_and_each_explains_itself(call: Call) -> None:
    listed = call("--help").out
    for command in COMMANDS:
        assert command in listed
        assert call(command, "--help").status == 0


def test_starting_up_imports_nothing_heavy() -> None:
    code = (
        "import sys; from graphrec.cli import main; sys.argv = ['graphrec', 'build', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'numpy', 'numba'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_version(call: Call) -> None:
    from graphrec import __version__

    assert call("--version").out.strip() == __version__


def test_a_wrong_call_exits_with_2_and_a_suggestion(call: Call) -> None:
    misspelt = call("train", "graph", "--out", "run", "--epoch", "3")
    assert misspelt.status == 2
    assert "--epochs" in misspelt.err
    assert call("trian").status == 2
    assert call("recommend").status == 2
    assert call("recommend", "run", "--user", "alice", "--k", "ten").status == 2


def test_errors_are_one_line_and_a_hint(call: Call, tmp_path: Path) -> None:
    done = call("recommend", tmp_path / "absent", "--user", "alice")
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith("graphrec: GR030 no run folder at")
    assert "Traceback" not in done.err


def test_debug_shows_the_traceback_and_keeps_the_status(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call("--debug", "recommend", tmp_path / "absent", "--user", "alice")
    assert done.status == 1
    assert "Traceback (most recent call last)" in done.err
    assert "\ngraphrec: GR030 no run folder at" in done.err
    monkeypatch.setenv("GRAPHREC_DEBUG", "1")
    assert "Traceback" in call("recommend", tmp_path / "absent", "--user", "alice").err


def test_what_nobody_expected_is_one_line_too(call: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("graphrec.recommender.load", broken)
    done = call("recommend", run, "--user", "alice")
    assert done.status == 1
    assert (
        done.err
        == "graphrec: GR000 unexpected ZeroDivisionError: by zero\nsee where with: graphrec --debug recommend …\n"
    )


def test_ctrl_c_exits_with_130(call: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphrec.recommender.load", stopped)
    done = call("recommend", run, "--user", "alice")
    assert (done.status, done.err) == (130, "graphrec: GR001 stopped\n")


def test_doctor(call: Call) -> None:
    found = call("doctor", "--json").json
    told = {"graphrec", "python", "platform", "packages", "torch", "backends", "free", "training", "extras", "problems"}
    assert set(found) == told and found["problems"] == []
    assert found["training"]["cpu"]["recall@20"] > 0.05
    assert {"reference", "cpu"} <= set(found["backends"])
    assert found["torch"]["threads"] >= 1
    assert set(found["free"]) == {"memory", "disk", "temporary"} and min(found["free"].values()) > 10**6
    for state in found["extras"].values():
        assert state["installed"] == (state["install"] is None)


def test_doctor_says_what_is_in_the_way(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr("graphrec.train", fails, raising=False)
    monkeypatch.setattr("graphrec.cli.doctor.metadata.version", lambda name: "1.9" if name == "numpy" else "99")
    monkeypatch.setattr("graphrec.cli.doctor._free_disk", lambda place: 10**6)
    done = call("doctor")
    assert done.status == 1 and "backends" in done.out and "1MB" in done.out
    assert "numpy 1.9: >=2 is needed; pip install -U 'numpy>=2'" in done.err
    assert "training on cpu fails: RuntimeError: no kernel" in done.err
    assert "1MB of disk are free; make room, or set TMPDIR" in done.err


def test_bench(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"work": "spmm", "ours_s": 0.1, "peer": "torch", "peer_s": 0.2, "ratio": 2.0, "floor_s": 0.05}]
    monkeypatch.setattr("graphrec.bench.run_bench", lambda graph: rows)
    assert call("bench", "--json").json == rows
    assert "spmm" in call("bench").out


def test_ctrl_c_that_was_swallowed_is_made_up_for() -> None:
    """Destructors let no exception out; the next check raises all the same."""
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as check:
        check()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before
