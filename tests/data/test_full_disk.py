"""A disk that is full at any write of a graph folder: a coded error, and the same folder once there is room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphrec.data import build_dataset, read_dataset, synthetic
from graphrec.errors import OutputError, RoomError
from graphrec.files import sha256
from tests.disk import Disk


def digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("memory", [None, "1GB"])
def test_a_full_disk_at_every_write_of_a_graph_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str | None
) -> None:
    world, log, disk = synthetic.generate(seed=3, num_users=20, num_items=20), tmp_path / "log.csv", Disk()
    world.interactions.to_csv(log, index=False)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    build_dataset(log, tmp_path / "whole", knowledge=world.knowledge, memory=memory)
    expected, writes = digests(tmp_path / "whole"), disk.flushes
    assert writes > 10
    for flush in range(1, writes + 1, 1 if memory is None else 4):  # a build past memory flushes each of its steps
        out = tmp_path / f"full-at-{flush}"
        disk.fill(flush)
        with pytest.raises(RoomError, match=rf"{out}: (No|no) space (is )?left on .*\n.* run the same command again"):
            build_dataset(log, out, knowledge=world.knowledge, memory=memory)
        disk.fill(0)
        build_dataset(log, out, knowledge=world.knowledge, memory=memory)
        assert digests(out) == expected


def test_no_room_for_what_is_read_past_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, disk = tmp_path / "log.csv", Disk()
    log.write_text("user_id,item_id\nann,x\nbob,y\n")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    disk.fill(1)
    with pytest.raises(RoomError, match="no space is left on this disk"):
        read_dataset(log, memory="1GB")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=rf"cannot write {tmp_path}/file/graph: "):
        build_dataset(synthetic.generate(seed=3, num_users=20, num_items=20).interactions, tmp_path / "file" / "graph")
