"""export: a run's vectors, for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import options as o
from graphrec.cli.console import emit_json, emit_table, say


def export(
    run: o.RunFolder,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write; a new or an empty folder.")],
    format: Annotated[
        str, typer.Option(metavar="parquet|npy|faiss", help="Tables, arrays, or an index of the item vectors.")
    ] = "parquet",
    view: Annotated[str | None, typer.Option(metavar="NAME", help="One view of a fusion; all unless given.")] = None,
    history: Annotated[
        bool, typer.Option("--history/--no-history", help="Without it, nothing of the users is written.")
    ] = True,
    as_json: o.Json = False,
) -> None:
    """Write the vectors of users and items with their ids."""
    from graphrec.recommender import load

    found = load(run).export(out, format, view, history=history)
    say(f"the vectors {'' if history else 'of the items alone '}are in {out}")
    if as_json:
        emit_json(found)
    else:
        emit_table(list(found[0]), [list(note.values()) for note in found])
