"""doctor and bench: what this machine has, whether graphrec works on it, and how fast it is."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement

from graphrec import __version__
from graphrec.cli import options as o
from graphrec.cli.console import emit_json, emit_table, flat, say

DEVELOPERS = "dev"  # an extra that is no feature
LEAST_DISK = 10**9
TRIAL = {"num_users": 1000, "num_items": 500}
TRIAL_EPOCHS = 5  # with imports and compiling about ten seconds


def doctor(as_json: o.Json = False) -> None:
    """Say what is installed and missing and which backends work, and try out whether graphrec trains here."""
    from graphrec.data.large.memory import shown_size

    say("training for some seconds, to see that it works")
    found = _findings()
    problems = _problems(found)
    if as_json:
        emit_json({**found, "problems": problems})
    else:
        free = {place: shown_size(size) for place, size in found["free"].items()}
        emit_table(["this machine", "value"], flat({**found, "free": free, "extras": {}}))
        rows = [[name, state["installed"], state["install"]] for name, state in found["extras"].items()]
        emit_table(["extra", "installed", "install it with"], rows)
        for problem in problems:
            say(problem)
        say("this needs mending" if problems else "all is well")
    if problems:
        raise typer.Exit(1)


def bench(
    graph: Annotated[
        Path | None, typer.Argument(metavar="[GRAPH]", help="A graph folder to measure on instead of a drawn one.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Time the core operations beside other libraries, on this machine."""
    from graphrec.bench import run_bench

    say("measuring, which takes a few minutes")
    rows = run_bench(graph)
    if as_json:
        emit_json(rows)
    elif rows:
        emit_table(list(rows[0]), [list(row.values()) for row in rows])


def _findings() -> dict[str, Any]:
    import torch

    from graphrec.data.large.memory import available_memory
    from graphrec.sparse import available_backends

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "graphrec": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {asked.name: _version(asked.name) for asked in _required("")},
        "torch": {
            "build": torch.__version__,
            "threads": torch.get_num_threads(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "cuda": torch.version.cuda,
            "gpus": gpus,
        },
        "backends": list(available_backends()),
        "free": {
            "memory": available_memory(),
            "disk": _free_disk(Path.cwd()),
            "temporary": _free_disk(Path(tempfile.gettempdir())),
        },
        "training": {device: _train(device) for device in ("cpu", *["cuda"] * bool(gpus))},
        "extras": {name: _extra(name) for name in _extras()},
    }


def _train(device: str) -> dict[str, Any]:
    """Train gat on a drawn shop, write the run, read it and recommend: the seconds, or what went wrong."""
    import graphrec

    shop = graphrec.synthetic.generate(seed=1, **TRIAL)
    data = graphrec.read_dataset(shop.interactions, knowledge=shop.knowledge, seed=1)
    begun = time.perf_counter()
    try:
        made = graphrec.train(data, model="gat", epochs=TRIAL_EPOCHS, patience=0, seed=1, device=device)
        trained = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            made.save(Path(folder) / "run")
            graphrec.load(Path(folder) / "run").recommend(data.users.names([0]).tolist(), k=10)
    except Exception as error:  # whatever it is, it is what doctor is asked for
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "seconds": round(trained - begun, 1),
        "save_load_recommend": round(time.perf_counter() - trained, 1),
        "recall@20": round(made.run.metrics["valid"]["recall@20"], 3),
    }


def _problems(found: dict[str, Any]) -> list[str]:
    """What is in the way, each with what to do."""
    from graphrec.data.large.memory import shown_size

    wrong = [
        f"{asked.name} {_version(asked.name) or 'is missing'}: {asked.specifier} is needed; pip install -U '{asked}'"
        for asked in _required("")
        if not asked.specifier.contains(_version(asked.name) or "0", prereleases=True)
    ]
    for device, trial in found["training"].items():
        if "error" in trial:
            wrong.append(f"training on {device} fails: {trial['error']}")
    for place in {Path.cwd(), Path(tempfile.gettempdir())}:
        if _free_disk(place) < LEAST_DISK:
            wrong.append(f"{place}: {shown_size(_free_disk(place))} of disk are free; make room, or set TMPDIR")
    return wrong


def _free_disk(place: Path) -> int:
    return shutil.disk_usage(place).free


def _required(extra: str) -> list[Requirement]:
    """What graphrec asks for, or one of its extras; nothing where it runs from a folder without being installed."""
    try:
        lines = metadata.requires("graphrec") or []
    except metadata.PackageNotFoundError:
        return []
    asked = [Requirement(line) for line in lines]
    named = {one for one in asked if one.marker is None or one.marker.evaluate({"extra": extra})}
    plain = {one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})}
    return sorted(named - plain if extra else plain, key=lambda one: one.name)


def _extras() -> list[str]:
    """The extras that bring features."""
    try:
        names = metadata.metadata("graphrec").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        names = []
    return sorted(set(names) - {DEVELOPERS})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> dict[str, Any]:
    """Whether an extra's packages are there, else how to get them."""
    installed = all(_version(asked.name) for asked in _required(name))
    return {"installed": installed, "install": None if installed else f"pip install 'graphrec[{name}]'"}
