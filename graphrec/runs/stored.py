"""The model of a run folder: weights, final vectors, and model.json, which holds the digests of all that is loaded.

Loading executes nothing, and allocates nothing that the sizes of the files do not bear out: names of files come from
the model that the configuration describes, that model is made without memory, and each header is held against the size
of its file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graphrec.config import RunConfig
from graphrec.data import Dataset
from graphrec.data.storage import blocks
from graphrec.errors import DamagedRunError, GraphrecError, NewerRunError, RunError, TrainingError
from graphrec.files import map_array, read_json, sha256, write_array, write_text
from graphrec.models import EmbeddingModel, Fused, ItemItem, Model, VectorModel, build_model, views_of
from graphrec.training import checked_device, graph_for, settle_vectors, write_tensors

FORMAT: Literal[2] = 2
WEIGHTS = Path("model", "weights.safetensors")
DESCRIPTION = Path("model", "model.json")
VECTORS = Path("model", "vectors")
_ROWS_AT_ONCE = 2**18


class Description(BaseModel):
    """What model.json says.

    Args:
        format: of the folder.
        model: name.
        vectors: the shape of each view's final vectors.
        sha256: of each file that loading relies on, by its path in the run folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[2] = FORMAT
    model: str
    vectors: dict[str, list[int]]
    sha256: dict[str, str]


def write_model(folder: Path, model: Model) -> None:
    """Write the model; model.json, without which a run is unfinished, comes last.

    Raises:
        TrainingError: a weight is infinite or not a number.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise TrainingError(
                f"{name} of {model.name} is not finite", "train it anew, with a lower learning_rate say"
            )
    write_tensors(folder / WEIGHTS, weights)
    vectors = {name: _write_vectors(folder, name, view) for name, view in _with_vectors(model).items()}
    described = Description(model=model.name, vectors=vectors, sha256=digests(folder))
    write_text(folder / DESCRIPTION, json.dumps(described.model_dump(), indent=2) + "\n")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 by path of all that loading a run relies on: its model, its ids and its tables.

    The configuration is not among them: people may edit it (the device, say), and it is checked field by field.
    """
    found = [folder / "dataset.json"]
    for part in ("ids", "tables", "model"):
        found += [path for path in sorted((folder / part).rglob("*")) if path.is_file() and path.name[0] != "."]
    paths = [path for path in found if path.relative_to(folder) != DESCRIPTION]
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def read_description(folder: Path) -> Description:
    """Read model.json and hold every file against its digest.

    Raises:
        RunError: another version of the format, or a file that is missing, new, or not what it was.
    """
    with damaged(folder, DESCRIPTION):
        found = read_json(folder / DESCRIPTION)
        version = found.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise NewerRunError(f"{folder} was written by a newer graphrec", "upgrade with: pip install -U graphrec")
        if version != FORMAT:
            raise RunError(f"{folder} has format {version}, this graphrec reads format {FORMAT}", "train it anew")
        described = Description.model_validate(found)
    with damaged(folder):
        now = digests(folder)
    for path in sorted(now.keys() | described.sha256.keys()):
        if now.get(path) != described.sha256.get(path):
            why = "is missing" if path not in now else "is not the file that the run was finished with"
            raise DamagedRunError(f"the run in {folder} is damaged: {path} {why}", "restore it, or train the run anew")
    return described


def read_model(folder: Path, described: Description, dataset: Dataset, config: RunConfig) -> Model:
    """The model, its weights and vectors mapped, and read in full only where something asks for them.

    Raises:
        RunError: the files do not fit the configuration, or hold what is not finite.
        UsageError: the configuration names a device that this machine lacks.
    """
    checked_device(config.device)
    with damaged(folder, DESCRIPTION):
        if described.model != config.model:
            raise ValueError(f"it is of {described.model}, and config.toml of {config.model}")
        model = build_model(config.model, graph_for(dataset, config), config.models, empty=True)
    with damaged(folder, WEIGHTS):
        _load_weights(model, folder / WEIGHTS)
    with_vectors = _with_vectors(model)
    if with_vectors.keys() != described.vectors.keys():
        raise DamagedRunError(
            f"the run in {folder} is damaged: {DESCRIPTION} has vectors of other views than config.toml"
        )
    for name, view in with_vectors.items():
        path = _vectors_path(name)
        with damaged(folder, path):
            view.put_vectors(_read_vectors(folder / path, described.vectors[name], view).to(model.graph.device))
    return model


@contextmanager
def damaged(folder: Path, path: Path | None = None) -> Iterator[None]:
    """Whatever goes wrong within is a RunError that names the file."""
    try:
        yield
    except RunError:
        raise
    except (
        *(OSError, ValueError, LookupError, TypeError, RuntimeError, MemoryError, OverflowError),
        *(SafetensorError, GraphrecError),
    ) as error:
        where = "" if path is None else f"{path}: "
        message = error.message if isinstance(error, GraphrecError) else " ".join(str(error).split())
        raise DamagedRunError(f"the run in {folder} is damaged: {where}{message}") from None


def _load_weights(model: Model, path: Path) -> None:
    needed = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    weights = load_file(path, device=str(model.graph.device))
    found = {name: tensor.dtype for name, tensor in weights.items()}
    if found != needed:
        wrong = min(name for name, _ in found.items() ^ needed.items())
        raise ValueError(f"{wrong} is {found.get(wrong, 'absent')}, and must be {needed.get(wrong, 'absent')}")
    _check_weights(path)
    model.load_state_dict(weights, assign=True)
    model.eval()
    for view in views_of(model).values():
        if isinstance(view, ItemItem):
            assert view.kept is not None  # checks its numbers, which compiled code relies on
    if isinstance(model, Fused):
        assert model.chosen is None or model.chosen  # likewise


def _check_weights(path: Path) -> None:
    """Refuse numbers that are not finite, read through a map that is let go of at once."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    for name, about in header.items():
        kind = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2"}.get(about.get("dtype"))
        first, last = about.get("data_offsets", (0, 0))
        if kind is None or first == last:
            continue
        values = np.memmap(path, kind, "r", 8 + size + first, (last - first) // int(kind[-1]))
        for (block,) in blocks(values):
            whole = (block & 0x7F80) != 0x7F80 if kind == "<u2" else np.isfinite(block)
            if not whole.all():
                raise ValueError(f"{name} holds numbers that are not finite")


def _with_vectors(model: Model) -> dict[str, VectorModel]:
    """The views that have vectors, by name."""
    return {name: view for name, view in views_of(model).items() if isinstance(view, VectorModel)}


def _vectors_path(view: str) -> Path:
    return VECTORS / f"{view}.npy"


def _write_vectors(folder: Path, name: str, view: VectorModel) -> list[int]:
    """Write a view's final vectors, users then items; returns their shape."""
    if isinstance(view, EmbeddingModel):
        settle_vectors(view, folder / VECTORS)
    parts = [vectors.split(_ROWS_AT_ONCE) for vectors in (view.user_vectors(), view.item_vectors())]
    shape = _vectors_shape(view)
    write_array(folder / _vectors_path(name), shape, (rows.detach().cpu().numpy() for rows in (*parts[0], *parts[1])))
    return list(shape)


def _vectors_shape(view: VectorModel) -> tuple[int, int]:
    return view.graph.num_users + view.graph.num_items, view.settings.width


def _read_vectors(path: Path, described: list[int], view: VectorModel) -> Tensor:
    """A view's final vectors, memory-mapped; their shape must be the described one, and what the view needs."""
    vectors, needed = map_array(path), list(_vectors_shape(view))
    if list(vectors.shape) != needed or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        raise ValueError(f"holds {vectors.dtype} {list(vectors.shape)}, not float32 {needed}")
    if described != needed:
        raise ValueError(f"model.json says {described} of it, not {needed}")
    for (block,) in blocks(vectors):
        if not np.isfinite(block).all():
            raise ValueError("holds numbers that are not finite")
    return torch.from_numpy(vectors)
