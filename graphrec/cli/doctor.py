"""doctor and bench: what this machine has, and how fast graphrec is on it."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from graphrec import __version__
from graphrec.cli import options as o
from graphrec.cli.console import emit_json, emit_table, flat, say

EXTRA = re.compile(r"extra == ['\"]([^'\"]+)['\"]")
DEVELOPERS = "dev"  # an extra that is no feature


def doctor(as_json: o.Json = False) -> None:
    """Say what is installed, which backends work, and how to get what is missing."""
    found = _findings()
    if as_json:
        emit_json(found)
        return
    emit_table(["this machine", "value"], flat({**found, "extras": {}}))
    rows = [[name, state["installed"], state["install"]] for name, state in found["extras"].items()]
    emit_table(["extra", "installed", "install it with"], rows)


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

    from graphrec.sparse import available_backends

    cuda = torch.cuda.is_available()
    return {
        "graphrec": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _required(None)},
        "torch": {
            "build": torch.__version__,
            "threads": torch.get_num_threads(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "cuda": torch.version.cuda,
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
        },
        "backends": list(available_backends()),
        "extras": {name: _extra(name) for name in _extras()},
    }


def _asked() -> list[str]:
    """The requirements of the installed package; none where graphrec runs from a folder without being installed."""
    try:
        return metadata.requires("graphrec") or []
    except metadata.PackageNotFoundError:
        return []


def _extras() -> list[str]:
    """The extras that bring features."""
    names = (EXTRA.search(line) for line in _asked())
    return sorted({name[1] for name in names if name} - {DEVELOPERS})


def _required(extra: str | None) -> list[str]:
    """The packages that graphrec, or one of its extras, asks for."""
    names = []
    for line in _asked():
        asked = EXTRA.search(line)
        if (asked[1] if asked else None) == extra:
            names.append(re.split(r"[^\w.-]", line, maxsplit=1)[0])
    return names


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> dict[str, Any]:
    """Whether an extra's packages are there, else how to get them."""
    installed = all(_version(package) for package in _required(name))
    return {"installed": installed, "install": None if installed else f"pip install 'graphrec[{name}]'"}
