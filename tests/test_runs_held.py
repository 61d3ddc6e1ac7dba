"""Who may write a folder, and what is left of those who were killed while they did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphrec
from graphrec.config import make_config
from graphrec.errors import BusyError, OccupiedError, OutputError
from graphrec.files import held, sweep
from graphrec.runs import check_free, start_run, writing
from tests.cli.calling import call_graphrec
from tests.worlds import small_world

WORLD = small_world()
IN_USE = "another process is writing {}\nwait until it has ended"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph folder, a run that is finished and one that is not."""
    folder = tmp_path_factory.mktemp("places")
    WORLD.save(folder / "graph")
    graphrec.train(WORLD, "popularity").save(folder / "finished")
    start_run(folder / "begun", WORLD, make_config("popularity"))
    return folder


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("begun", lambda at: ("train", "--resume", "--out", at / "begun")),
        ("finished", lambda at: ("train", "--resume", "--out", at / "finished")),
        ("finished", lambda at: ("evaluate", at / "finished")),
        ("new", lambda at: ("train", at / "graph", "--model=popularity", "--out", at / "new")),
        ("new", lambda at: ("extend", at / "finished", at / "graph", "--out", at / "new")),
        ("new", lambda at: ("build", at / "rows.csv", "--out", at / "new")),
    ],
)
def test_a_second_process_is_told(places: Path, folder: str, command: Callable[[Path], tuple[object, ...]]) -> None:
    (places / "rows.csv").write_text("user_id,item_id\nann,x\n")
    before = sorted(places.rglob("*"))
    with held(places / folder):
        done = call_graphrec(*command(places))
    assert done.status == 1 and IN_USE.format(places / folder) in done.err
    assert sorted(places.rglob("*")) == before


def test_a_folder_is_let_go_of_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "a"):
        _ = 1 / 0
    assert not (tmp_path / "a").exists()  # nothing was written, and nothing is left
    with held(tmp_path / "a"):
        (tmp_path / "a" / "file").touch()
    assert (tmp_path / "a" / "file").exists()


def test_readers_are_not_kept_waiting(places: Path) -> None:
    with held(places / "finished"):
        assert len(graphrec.load(places / "finished").recommend([WORLD.users.names([0])[0]], k=3)) == 3


def test_saving_where_somebody_writes(tmp_path: Path) -> None:
    trained = graphrec.train(WORLD, "popularity")
    with held(tmp_path / "run"), pytest.raises(BusyError, match="another process is writing"):
        trained.save(tmp_path / "run")


def test_errors_of_the_disk_say_how_to_go_on(places: Path, tmp_path: Path) -> None:
    for folder, hint in ((places / "begun", f"go on with: graphrec train --resume --out {places}"), (tmp_path, "")):
        with pytest.raises(OutputError, match=r"cannot write .*: no room") as caught, writing(folder):
            raise OSError("no room")
        assert hint in caught.value.hint


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    stale = [tmp_path / "a" / ".weights.safetensors.ab_d3fgh.tmp", tmp_path / ".layers.abcdefgh.tmp" / "total.npy"]
    other = [tmp_path / name for name in ("a/.tmp", "a/mine.tmp", "a/.mine.tmp", "a/weights.safetensors")]
    for path in (*stale, *other):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    sweep(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(other)


def test_a_start_that_was_cut_short_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("popularity")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("graphrec.runs.folder.environment", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        start_run(tmp_path / "run", WORLD, config)
    check_free(tmp_path / "run")
    start_run(tmp_path / "run", WORLD, config)
    with pytest.raises(OccupiedError, match="is not empty"):
        check_free(tmp_path / "run")


def test_going_on_with_a_finished_run_writes_the_report_it_lacks(places: Path) -> None:
    done = call_graphrec("train", "--resume", "--out", places / "finished")
    assert done.status == 0 and "nothing to go on with" in done.err
    assert (places / "finished" / "report.html").exists()
