"""The run folder from its start to its end: what is written when, and what is read back."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from graphrec import __version__
from graphrec.config import RunConfig, read_config, write_config
from graphrec.data import Dataset
from graphrec.errors import OccupiedError, OutputError, RunError
from graphrec.files import atomic_path, held, read_json, sweep, write_text
from graphrec.runs.run import Run
from graphrec.runs.stored import DESCRIPTION, damaged, read_description, read_model, write_model
from graphrec.training import Choice, Start, Tuned

CONFIG = "config.toml"
CHECKPOINTS = "checkpoints"
REPORT = "report.html"
STARTING = ".starting"  # stands in a folder until config.toml does, which makes it a run
RECORDS = ("choice", "tuning")  # how the configuration was found, each a file of JSON


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write a run folder, made if need be, while no other process does; what a killed one has left goes first.

    Raises:
        BusyError: another process writes it.
        OutputError: it cannot be written.
    """
    try:
        with held(folder):
            sweep(folder)
            yield
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error}",
            f"then go on with: graphrec train --resume --out {folder}" if (folder / CONFIG).exists() else "",
        ) from None


def check_free(folder: Path) -> None:
    """Refuse a folder that already holds something but the beginnings of a start that was cut short.

    Raises:
        OccupiedError: it does.
    """
    cut_short = (folder / STARTING).exists() and not (folder / CONFIG).exists()
    if folder.exists() and not cut_short and (not folder.is_dir() or any(folder.iterdir())):
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
    """Make a run folder and write what is known before training; config.toml, without which it is no run, comes last.

    Args:
        folder: new or empty.
        dataset, config: of the run.
        begun: what was asked for, where that is not what ``config`` says.
        choice: how ``config`` was chosen.

    Raises:
        OccupiedError: the folder already holds something.
    """
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STARTING).touch()  # not by way of a temporary file, which would make the folder one that holds something
    dataset.save(folder)
    _write_record(folder, "environment", environment())
    for name, record in (("begun", begun), ("choice", choice.to_json() if choice else None)):
        if record is not None:
            _write_record(folder, name, record)
    write_config(config, folder / CONFIG)
    (folder / STARTING).unlink()


def read_begun(folder: Path) -> dict[str, Any] | None:
    """What was asked for when the run began, where its configuration was then chosen or is searched."""
    return _read_record(folder, "begun")


def take_tuned(folder: Path, tuned: Tuned) -> None:
    """Make what a search has found the configuration of an unfinished run."""
    write_config(tuned.config, folder / CONFIG)
    _write_record(folder, "tuning", tuned.to_json())


def is_tuned(folder: Path) -> bool:
    """Whether the search of a run has come to its end."""
    return _read_record(folder, "tuning") is not None


def finish_run(folder: Path, run: Run) -> None:
    """Write the model, its metrics and history into a folder that ``start_run`` made.

    Raises:
        TrainingError: the model's weights are not finite.
    """
    with atomic_path(folder / "history.csv") as temporary:
        run.history.to_csv(temporary, index=False)
    records = {name: _read_record(folder, name) for name in RECORDS}
    _write_record(folder, "metrics", run.metrics | {name: found for name, found in records.items() if found})
    write_model(folder, run.model)


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` holds a run that has been trained to its end."""
    return (folder / DESCRIPTION).exists()


def read_unfinished(folder: Path) -> tuple[Dataset, RunConfig]:
    """What ``start_run`` wrote, to go on from.

    Raises:
        RunError: no run was started there, or what was written then is damaged.
    """
    if not (folder / CONFIG).exists():
        raise RunError(f"{folder} holds no run to go on with", "start one without --resume")
    with damaged(folder):
        return Dataset.load(folder), read_config(folder / CONFIG)


def load_run(folder: Path) -> Run:
    """Read a finished run, after every file that it relies on has been held against its digest.

    Raises:
        RunError: no run, an unfinished one, one of another version, or one whose files are damaged or do not fit.
    """
    if not folder.is_dir():
        raise RunError(f"no run folder at {folder}", "train one with: graphrec train GRAPH --out " + str(folder))
    if not is_finished(folder):
        started = (folder / CONFIG).exists()
        hint = "go on with: graphrec train --resume --out " + str(folder) if started else f"it has no {DESCRIPTION}"
        raise RunError(f"{folder} is {'an unfinished run' if started else 'not a run folder'}", hint)
    described = read_description(folder)
    dataset, config = read_unfinished(folder)
    model = read_model(folder, described, dataset, config)
    with damaged(folder, Path("history.csv")):
        history = pd.read_csv(folder / "history.csv")
    return Run(dataset, config, model, _read_metrics(folder), history)


def start_of(config: RunConfig) -> Start | None:
    """The run that training starts from, None where it starts from none.

    Raises:
        RunError: it is no finished run.
        UsageError: its views do not fit those of the configuration.
    """
    if not config.warm_start:
        return None
    start = load_run(Path(config.warm_start)).as_start()
    start.check(config.models)
    return start


def record_test(folder: Path, test: dict[str, float], baselines: dict[str, Any], per_user: pd.DataFrame) -> None:
    """Add test metrics to a run's ``metrics.json``, write ``per_user.parquet``, and log that test rows were read."""
    _write_record(folder, "metrics", _read_metrics(folder) | {"test": test, "baselines": baselines})
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


def _read_metrics(folder: Path) -> dict[str, Any]:
    with damaged(folder, Path("metrics.json")):
        found = read_json(folder / "metrics.json")
        if missing := {"valid", "epochs", "fusion"} - found.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return found


def _write_record(folder: Path, name: str, record: dict[str, Any]) -> None:
    write_text(folder / f"{name}.json", json.dumps(record, indent=2) + "\n")


def _read_record(folder: Path, name: str) -> dict[str, Any] | None:
    path = Path(f"{name}.json")
    with damaged(folder, path):
        return read_json(folder / path) if (folder / path).exists() else None
