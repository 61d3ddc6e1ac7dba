"""From tables to a graph folder: check and build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from graphrec.cli import options as o
from graphrec.cli.console import emit_json, say, say_next
from graphrec.cli.facts import show_dataset, show_graph
from graphrec.errors import OccupiedError, SettingError

WORK = ".building"  # unfinished work, to go on with
GRAPH_FOLDER = {"ids", "tables", "dataset.json", "rejected.csv", WORK}  # what a graph folder may hold to be built over


def check(
    ctx: typer.Context,
    interactions: o.Interactions,
    knowledge: o.Knowledge = None,
    items: o.Items = None,
    users: o.Users = None,
    item_vectors: o.ItemVectors = None,
    user_vectors: o.UserVectors = None,
    text_model: o.TextModel = None,
    test: o.Test = None,
    split: o.Split = None,
    seed: o.SplitSeed = None,
    min_rating: o.MinRating = None,
    column: o.Column = None,
    header: o.Header = None,
    delimiter: o.Delimiter = None,
    encoding: o.Encoding = None,
    on_bad_row: o.OnBadRow = None,
    memory: o.Memory = None,
    as_json: o.Json = False,
) -> None:
    """Read tables and say what is in them, before anything is trained on them."""
    from graphrec.cli.building import Told
    from graphrec.data import check_dataset, read_dataset

    found = check_dataset(read_dataset(interactions, **_reading(ctx.params), memory=memory, listener=Told()))
    if as_json:
        emit_json(found)
    else:
        show_dataset(found)
        say_next("graphrec build, with the same tables and --out graph/")


def build(
    ctx: typer.Context,
    interactions: o.Interactions,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The graph folder to write.")],
    knowledge: o.Knowledge = None,
    items: o.Items = None,
    users: o.Users = None,
    item_vectors: o.ItemVectors = None,
    user_vectors: o.UserVectors = None,
    text_model: o.TextModel = None,
    test: o.Test = None,
    split: o.Split = None,
    seed: o.SplitSeed = None,
    min_rating: o.MinRating = None,
    column: o.Column = None,
    header: o.Header = None,
    delimiter: o.Delimiter = None,
    encoding: o.Encoding = None,
    on_bad_row: o.OnBadRow = None,
    memory: o.Memory = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a graph folder that is there.")] = False,
    as_json: o.Json = False,
) -> None:
    """Read tables, split them, and write a graph folder to train on."""
    from graphrec.cli.building import Told
    from graphrec.data import build_dataset

    _check_out(out, overwrite)
    told = Told()
    dataset = build_dataset(interactions, out, memory=memory, listener=told, **_reading(ctx.params))

    from graphrec.graph import dataset_report  # which brings torch: not before the heavy work is done

    report = dataset_report(dataset)
    if as_json:
        emit_json(report | ({"estimate": asdict(told.estimate)} if told.estimate else {}))
    else:
        show_graph(report)
    for name, facts in dataset.source["features"].items():
        unknown = f"; {facts['unknown']:,} vectors of unknown ids were left out" if facts.get("unknown") else ""
        say(f"features {name}: {facts['width']} numbers, {facts['rows']:,} rows{unknown}")
    if skipped := dataset.source["skipped"]["count"]:
        say(f"{skipped:,} bad rows were left out; they are in {out / 'rejected.csv'}")
    say(f"the graph is in {out}")
    say_next(f"graphrec train {out} --out runs/first")


def _reading(params: Mapping[str, Any]) -> dict[str, Any]:
    """The table options that were given, as the arguments that ``read_dataset`` takes."""
    plain = (
        "knowledge",
        "items",
        "users",
        "text_model",
        "test",
        "split",
        "seed",
        "min_rating",
        "encoding",
        "on_bad_row",
    )
    given = {name: params[name] for name in plain if params[name] is not None}
    if params["column"]:
        given["columns"] = _pairs(params["column"], "--column", "user_id=customer")
    for name in ("item_vectors", "user_vectors"):
        if params[name]:
            given[name] = _pairs(params[name], f"--{name.replace('_', '-')}", "image=image.parquet")
    if params["header"] is not None:
        given["header"] = o.split_names(params["header"], "--header")
    if params["delimiter"] is not None:
        given["delimiter"] = "\t" if params["delimiter"] in ("tab", "\\t") else params["delimiter"]
    return given


def _pairs(texts: list[str], option: str, example: str) -> dict[str, str]:
    """What is given as NAME=VALUE, by name.

    >>> _pairs(["user_id=customer", "item_id=a=b"], "--column", "user_id=customer")
    {'user_id': 'customer', 'item_id': 'a=b'}
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise SettingError(f"{option} must be NAME=VALUE, got {text!r}", f"for example: {option} {example}")
        found[name] = value
    return found


def _check_out(out: Path, overwrite: bool) -> None:
    """Refuse to write over anything but a graph folder, and over that unless asked to; unfinished work is no graph."""
    if out.exists() and not out.is_dir():
        raise OccupiedError(f"{out} is a file", "name a folder")
    found = {path.name for path in out.iterdir()} if out.exists() else set()
    if found and not found <= GRAPH_FOLDER:
        raise OccupiedError(f"{out} is not empty and not a graph folder", "choose another folder")
    unfinished = WORK in found and "dataset.json" not in found
    if found and not overwrite and not unfinished:
        raise OccupiedError(f"{out} holds a graph already", "choose another folder, or replace it with --overwrite")
