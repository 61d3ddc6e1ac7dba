"""The run folder: the only code that knows its layout. It is a graph folder (ids, tables) with a model beside it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graphrec import __version__
from graphrec.config import RunConfig, read_config, write_config
from graphrec.data import Dataset
from graphrec.errors import DamagedRunError, DataError, NewerRunError, OccupiedError, RunError
from graphrec.files import atomic_path, map_array, write_array, write_text
from graphrec.models import EmbeddingModel, Model, VectorModel, build_model, views_of
from graphrec.sampling import Fanout
from graphrec.training import (
    Choice,
    Fitted,
    Start,
    Tuned,
    extend_model,
    graph_for,
    parts_of,
    settle_vectors,
    write_tensors,
)

FORMAT = 1
CHECKPOINTS = "checkpoints"
REPORT = "report.html"
RECORDS = ("choice", "tuning")  # how the configuration was found, each a file of JSON
_ROWS_AT_ONCE = 2**18


@dataclass(frozen=True)
class Run:
    """A finished run in memory: all that recommending needs.

    Args:
        dataset: ids, rows and knowledge it was trained on.
        config: how.
        model: fitted, ready to score.
        metrics: by part (``valid``, ``test``, ``baselines``), and ``epochs`` and ``fusion``; ``choice`` and ``tuning``
            where the configuration was chosen or searched.
        history: a row an epoch.
    """

    dataset: Dataset
    config: RunConfig
    model: Model
    metrics: dict[str, Any]
    history: pd.DataFrame

    @classmethod
    def from_fitted(cls, dataset: Dataset, config: RunConfig, fitted: Fitted) -> Run:
        """What a training gave."""
        fusion = fitted.fusion.to_json() if fitted.fusion else None
        metrics = {"valid": fitted.valid, "epochs": fitted.epochs, "fusion": fusion, "known_rows": fitted.known_rows}
        return cls(dataset, config, fitted.model, metrics, fitted.history)


def check_free(folder: Path) -> None:
    """Refuse a folder that already holds something.

    Raises:
        OccupiedError: it does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OccupiedError(
            f"{folder} is not empty", "choose another folder, or go on with an unfinished run with --resume"
        )


def start_run(
    folder: Path,
    dataset: Dataset,
    config: RunConfig,
    *,
    begun: dict[str, Any] | None = None,
    choice: Choice | None = None,
) -> None:
    """Make a run folder and write what is known before training.

    Args:
        folder: new or empty.
        dataset, config: of the run.
        begun: what was asked for, where that is not what ``config`` says.
        choice: how ``config`` was chosen.

    Raises:
        OccupiedError: the folder already holds something.
    """
    check_free(folder)
    dataset.save(folder)
    write_config(config, folder / "config.toml")
    write_text(folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
    for name, record in (("begun", begun), ("choice", choice.to_json() if choice else None)):
        if record is not None:
            _write_record(folder, name, record)


def read_begun(folder: Path) -> dict[str, Any] | None:
    """What was asked for when the run began, where its configuration was then chosen or is searched."""
    return _read_record(folder, "begun")


def take_tuned(folder: Path, tuned: Tuned) -> None:
    """Make what a search has found the configuration of an unfinished run."""
    write_config(tuned.config, folder / "config.toml")
    _write_record(folder, "tuning", tuned.to_json())


def is_tuned(folder: Path) -> bool:
    """Whether the search of a run has come to its end."""
    return _read_record(folder, "tuning") is not None


def finish_run(folder: Path, run: Run) -> None:
    """Write the model, its metrics and history into a folder that ``start_run`` made."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in run.model.state_dict().items()}
    write_tensors(folder / "model" / "weights.safetensors", weights)
    with atomic_path(folder / "history.csv") as temporary:
        run.history.to_csv(temporary, index=False)
    records = {name: _read_record(folder, name) for name in RECORDS}
    _write_record(folder, "metrics", run.metrics | {name: found for name, found in records.items() if found})
    vectors = {name: _write_vectors(folder, name, view) for name, view in _embeddings(run.model).items()}
    description = {"format": FORMAT, "model": run.config.model, "vectors": vectors}
    write_text(folder / "model" / "model.json", json.dumps(description, indent=2) + "\n")


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` holds a run that has been trained to its end."""
    return (folder / "model" / "model.json").exists()


def read_unfinished(folder: Path) -> tuple[Dataset, RunConfig]:
    """What ``start_run`` wrote, to go on from.

    Raises:
        RunError: no run was started there.
    """
    if not (folder / "config.toml").exists():
        raise RunError(f"{folder} holds no run to go on with", "start one without --resume")
    return Dataset.load(folder), read_config(folder / "config.toml")


def load_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        RunError: no run, an unfinished one, one of a newer version, or one whose files do not fit together.
    """
    if not folder.is_dir():
        raise RunError(f"no run folder at {folder}", "train one with: graphrec train GRAPH --out " + str(folder))
    if not is_finished(folder):
        started = (folder / "config.toml").exists()
        hint = "go on with: graphrec train --resume --out " + str(folder) if started else "it has no model/model.json"
        raise RunError(f"{folder} is {'an unfinished run' if started else 'not a run folder'}", hint)
    try:
        description = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
        if description["format"] > FORMAT:
            raise NewerRunError(f"{folder} was written by a newer graphrec", "upgrade with: pip install -U graphrec")
        dataset, config = read_unfinished(folder)
        model = build_model(config.model, graph_for(dataset, config), config.models)
        weights = load_file(folder / "model" / "weights.safetensors", device=str(model.graph.device))
        model.load_state_dict(weights, assign=True)  # mapped, and read only where something asks for them
        model.eval()
        for name, shape in description.get("vectors", {}).items():
            view = _embeddings(model)[name]
            view.put_vectors(_read_vectors(folder, name, shape, view).to(model.graph.device))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        history = pd.read_csv(folder / "history.csv")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, DataError) as error:
        raise DamagedRunError(f"the run in {folder} is damaged: {error}") from None
    return Run(dataset, config, model, metrics, history)


def extend_run(run: Run, dataset: Dataset, fanout: Fanout | None = None) -> Run:
    """The run's model on newer data, without training (see ``extend_model``)."""
    start = _start(run)
    model = extend_model(dataset, run.config, start, fanout)
    metrics = {"valid": {}, "epochs": run.metrics["epochs"], "fusion": run.metrics["fusion"]}
    return Run(dataset, run.config, model, metrics | {"known_rows": start.known_rows(dataset)}, run.history)


def start_of(config: RunConfig) -> Start | None:
    """The run that training starts from, None where it starts from none.

    Raises:
        RunError: it is no finished run.
        UsageError: its views do not fit those of the configuration.
    """
    if not config.warm_start:
        return None
    start = _start(load_run(Path(config.warm_start)))
    start.check(config.models)
    return start


def _start(run: Run) -> Start:
    return Start(run.dataset, run.model, parts_of(run.config))


def record_test(folder: Path, test: dict[str, float], baselines: dict[str, Any], per_user: pd.DataFrame) -> None:
    """Add test metrics to a run's ``metrics.json``, write ``per_user.parquet``, and log that test rows were read."""
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    _write_record(folder, "metrics", metrics | {"test": test, "baselines": baselines})
    with atomic_path(folder / "per_user.parquet") as temporary:
        per_user.to_parquet(temporary, index=False)
    with (folder / "test_reads.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "test": test}) + "\n")


def environment() -> dict[str, Any]:
    """Versions, threads and machine, as far as they can change a number."""
    packages = ["torch", "numpy", "numba", "pandas", "pyarrow", "torch-geometric"]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "packages": {"graphrec": __version__} | {package: version(package) for package in packages},
    }


def _embeddings(model: Model) -> dict[str, VectorModel]:
    """The views that have vectors, by name."""
    return {name: view for name, view in views_of(model).items() if isinstance(view, VectorModel)}


def _vectors_path(folder: Path, view: str) -> Path:
    return folder / "model" / "vectors" / f"{view}.npy"


def _write_vectors(folder: Path, name: str, view: VectorModel) -> list[int]:
    """Write a view's final vectors, users then items; returns their shape."""
    path = _vectors_path(folder, name)
    if isinstance(view, EmbeddingModel):
        settle_vectors(view, path.parent)
    parts = [vectors.split(_ROWS_AT_ONCE) for vectors in (view.user_vectors(), view.item_vectors())]
    shape = _vectors_shape(view)
    write_array(path, shape, (rows.detach().cpu().numpy() for rows in (*parts[0], *parts[1])))
    return list(shape)


def _vectors_shape(view: VectorModel) -> tuple[int, int]:
    return view.graph.num_users + view.graph.num_items, view.settings.width


def _read_vectors(folder: Path, name: str, described: list[int], view: VectorModel) -> Tensor:
    """A view's final vectors, memory-mapped; their shape must be the described one, and what the view needs."""
    path = _vectors_path(folder, name)
    try:
        vectors = map_array(path)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedRunError(f"the run in {folder} is damaged: {path}: {error}") from None
    needed = list(_vectors_shape(view))
    if list(vectors.shape) != needed or vectors.dtype != np.float32:
        raise DamagedRunError(
            f"the run in {folder} is damaged: {path} holds {vectors.dtype} {list(vectors.shape)}, not {needed}"
        )
    if described != needed:
        raise DamagedRunError(f"the run in {folder} is damaged: model.json says {described} of {path}, not {needed}")
    return torch.from_numpy(vectors)


def _write_record(folder: Path, name: str, record: dict[str, Any]) -> None:
    write_text(folder / f"{name}.json", json.dumps(record, indent=2) + "\n")


def _read_record(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (OSError, ValueError) as error:
        raise DamagedRunError(f"the run in {folder} is damaged: {path}: {error}") from None
