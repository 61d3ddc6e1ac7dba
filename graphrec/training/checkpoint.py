"""A training state as one safetensors file: weights, optimiser, best weights, and the history as JSON in its header.

The state before stays beside it, under ``.previous``, and is gone on from where the newer one is torn.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphrec.errors import DamagedRunError, RunError
from graphrec.files import atomic_path

State = dict[str, Tensor]
_log = logging.getLogger(__name__)


def save_checkpoint(path: Path, tensors: dict[str, State], record: dict[str, Any]) -> None:
    """Write groups of named tensors and a JSON record, atomically; what was there becomes the one before.

    Args:
        path: the file.
        tensors: by group, then name.
        record: JSON-able.

    Raises:
        OSError: the file cannot be written; the one before stays.
    """
    flat = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, state in tensors.items()
        for name, tensor in state.items()
    }
    text = json.dumps(record)
    with atomic_path(path) as temporary:
        _write(temporary, flat, {"record": text, "sha256": digest(flat, text)})
        if path.exists():
            path.replace(_before(path))


def write_tensors(path: Path, tensors: State) -> None:
    """Write a safetensors file, atomically.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    with atomic_path(path) as temporary:
        _write(temporary, tensors)


def has_checkpoint(path: Path) -> bool:
    """Whether ``load_checkpoint`` has something to go on from."""
    return path.exists() or _before(path).exists()


def load_checkpoint(path: Path, device: torch.device) -> tuple[dict[str, State], dict[str, Any]]:
    """What ``save_checkpoint`` wrote last; where that is torn, a warning is logged and the one before is taken.

    Raises:
        RunError: neither file is a whole checkpoint.
    """
    before = _before(path)
    if not path.exists():
        return _read(before, device)
    try:
        return _read(path, device)
    except RunError as error:
        if not before.exists():
            raise
        found = _read(before, device)
        _log.warning("%s; going on from the one before it", error.message)
        path.unlink()  # else the next one would make it the one before
        return found


def _before(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _write(path: Path, tensors: State, metadata: dict[str, str] | None = None) -> None:
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(f"{path}: {error}") from None


def _read(path: Path, device: torch.device) -> tuple[dict[str, State], dict[str, Any]]:
    tensors: dict[str, State] = {}
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata()
            flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
        if digest(flat, metadata["record"]) != metadata["sha256"]:
            raise ValueError("its content is not what was written")
        if not all(bool(tensor.isfinite().all()) for tensor in flat.values()):
            raise ValueError("it holds numbers that are not finite")
        record = json.loads(metadata["record"])
        if not isinstance(record, dict):
            raise ValueError("its record is no object")
        for key, tensor in flat.items():
            group, name = key.split("/", 1)
            tensors.setdefault(group, {})[name] = tensor
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedRunError(
            f"{path} is not a whole checkpoint: {error}", "remove it to train from the start"
        ) from None
    return tensors, record


def digest(tensors: State, text: str) -> str:
    """SHA-256 of names, shapes, types and bytes: a page that a crash has left empty does not show in the header."""
    sha256 = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha256.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def optimizer_state(optimizer: torch.optim.Optimizer) -> State:
    """The optimiser's tensors, named ``parameter.field``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, fields in state.items() for name, tensor in fields.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: State) -> None:
    """Put back what ``optimizer_state`` gave.

    Raises:
        ValueError: it is not the state of Adam for these parameters.
    """
    state: dict[int, State] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, fields in state.items():
        like = parameters[number] if number in range(len(parameters)) else torch.empty(0)
        check_like(fields, {"step": torch.empty(()), "exp_avg": like, "exp_avg_sq": like})
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def check_like(found: State, expected: State) -> None:
    """Refuse tensors that have not the names and shapes of others.

    Raises:
        ValueError: naming one that differs.
    """
    for name in sorted(found.keys() | expected.keys()):
        if name not in found or name not in expected:
            raise ValueError(f"{name} is {'missing' if name in expected else 'not expected'}")
        if found[name].shape != expected[name].shape:
            raise ValueError(f"{name} has the shape {list(found[name].shape)}, not {list(expected[name].shape)}")
