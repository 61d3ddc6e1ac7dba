"""A training state as one safetensors file: weights, optimiser, best weights, and the history as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphrec.errors import DamagedRunError
from graphrec.files import atomic_path

State = dict[str, Tensor]


def save_checkpoint(path: Path, tensors: dict[str, State], record: dict[str, Any]) -> None:
    """Write groups of named tensors and a JSON record, atomically.

    Args:
        path: the file.
        tensors: by group, then name.
        record: JSON-able.

    Raises:
        OSError: the file cannot be written; the one before stays.
    """
    flat = {
        f"{group}/{name}": tensor.contiguous() for group, state in tensors.items() for name, tensor in state.items()
    }
    write_tensors(path, flat, {"record": json.dumps(record)})


def write_tensors(path: Path, tensors: State, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, atomically.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: {error}") from None


def load_checkpoint(path: Path, device: torch.device) -> tuple[dict[str, State], dict[str, Any]]:
    """What ``save_checkpoint`` wrote.

    Raises:
        RunError: the file is not a whole checkpoint.
    """
    tensors: dict[str, State] = {}
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            record = json.loads(file.metadata()["record"])
            for key in file.keys():  # noqa: SIM118 (safe_open is no dict)
                group, name = key.split("/", 1)
                tensors.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedRunError(
            f"{path} is not a whole checkpoint: {error}", "remove it to train from the start"
        ) from None
    return tensors, record


def optimizer_state(optimizer: torch.optim.Optimizer) -> State:
    """The optimiser's tensors, named ``parameter.field``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, fields in state.items() for name, tensor in fields.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: State) -> None:
    """Put back what ``optimizer_state`` gave."""
    state: dict[int, State] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
