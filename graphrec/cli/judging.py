"""evaluate: runs on their test rows, beside the baselines and against each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from graphrec.cli import options as o
from graphrec.cli.console import emit_json, emit_table, say
from graphrec.errors import SettingError


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders that graphrec train made.")],
    k: Annotated[str, typer.Option("--k", "-k", metavar="N,N", help="Lengths of the lists to judge.")] = "10,20",
    as_json: o.Json = False,
) -> None:
    """Judge runs on their test rows, beside popularity and item_knn, and against each other."""
    ks = _lengths(k)

    from graphrec.comparison import evaluate_runs
    from graphrec.report import write_report

    found = evaluate_runs(list(dict.fromkeys(runs)), ks)
    if as_json:
        emit_json(found)
    else:
        _show(found)
    for run in found["runs"]:
        report = write_report(Path(run["run"]))
        say(f"{run['run']}: {run['users']:,} users judged, {run['left_out']:,} left out; report in {report}")


def _lengths(text: str) -> tuple[int, ...]:
    """List lengths, each once, rising.

    >>> _lengths("20,10")
    (10, 20)
    """
    names = o.split_names(text, "--k")
    if not all(name.isdecimal() and int(name) > 0 for name in names):
        raise SettingError(f"--k must be whole numbers >= 1 joined by commas, got {text!r}")
    return tuple(sorted({int(name) for name in names}))


def _show(found: Mapping[str, Any]) -> None:
    """A table of metrics for the runs that share their baselines, and one of the paired tests."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in found["runs"]:
        groups.setdefault(json.dumps(run["baselines"], sort_keys=True), []).append(run)
    for group in groups.values():
        _show_metrics(group)
    columns = ("a", "b", "metric", "difference", "low", "high", "p_value", "p_wilcoxon", "won", "lost", "tied")
    rows = [[pair[column] for column in columns] for pair in found["paired"]]
    if rows:
        emit_table(columns, rows, title="a − b, user by user")


def _show_metrics(runs: Sequence[Mapping[str, Any]]) -> None:
    columns = {run["run"]: run["test"] for run in runs} | runs[0]["baselines"]
    rows = [[metric, *(values[metric] for values in columns.values())] for metric in runs[0]["test"]]
    emit_table(["test", *columns], rows)
