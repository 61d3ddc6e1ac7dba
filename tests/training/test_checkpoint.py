"""Checkpoints: whole or not believed, and the one before stands in for one that is torn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graphrec.errors import RunError
from graphrec.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def save(path: Path, epoch: int) -> None:
    tensors = {"model": {"table": torch.full((64, 64), float(epoch))}, "optimizer": {"0.step": torch.tensor(epoch)}}
    save_checkpoint(path, tensors, {"epoch": epoch})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the second of two checkpoints."""
    for epoch in (1, 2):
        save(tmp_path / "gat.select.safetensors", epoch)
    return tmp_path / "gat.select.safetensors"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty_page(path: Path) -> None:
    """What a crash may leave of a page that was never written: the header is whole, and the numbers are not."""
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)


def other_record(path: Path) -> None:
    path.write_bytes(re.sub(rb'(epoch\\": )\d', rb"\g<1>9", path.read_bytes()))


TEARS = [cut, empty_page, other_record, lambda path: path.write_bytes(b"")]


def test_both_are_kept_and_the_last_is_taken(path: Path) -> None:
    tensors, record = load_checkpoint(path, CPU)
    assert record == {"epoch": 2} and float(tensors["model"]["table"][0, 0]) == 2
    assert int(tensors["optimizer"]["0.step"]) == 2
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["gat.select.previous.safetensors", "gat.select.safetensors"]


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_one_gives_way_to_the_one_before(
    path: Path, tear: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    tear(path)
    tensors, record = load_checkpoint(path, CPU)
    assert record == {"epoch": 1} and float(tensors["model"]["table"][0, 0]) == 1
    (told,) = caplog.messages
    assert told.startswith(f"{path} is not a whole checkpoint: ") and told.endswith("going on from the one before it")
    save(path, 3)
    assert load_checkpoint(path, CPU)[1] == {"epoch": 3}
    tear(path)
    assert load_checkpoint(path, CPU)[1] == {"epoch": 1}  # the torn one never became the one before


def test_a_crash_between_the_two_renamings(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.unlink()
    assert has_checkpoint(path) and load_checkpoint(path, CPU)[1] == {"epoch": 1}
    assert not caplog.messages


@pytest.mark.parametrize("tear", TEARS)
def test_nothing_whole_is_an_error(path: Path, tear: Callable[[Path], None]) -> None:
    for file in path.parent.iterdir():
        tear(file)
    with pytest.raises(RunError, match=r"is not a whole checkpoint: .*\nremove it to train from the start"):
        load_checkpoint(path, CPU)


def test_the_record_is_json(path: Path) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header["__metadata__"]["record"]) == {"epoch": 2}
