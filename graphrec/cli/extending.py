"""extend: a finished run on newer data, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import options as o
from graphrec.cli.console import say, say_next
from graphrec.cli.training import say_known


def extend(
    run: o.RunFolder,
    graph: Annotated[Path, typer.Argument(metavar="GRAPH", help="A graph folder with the newer data.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to write.")],
    fanout: Annotated[
        list[str] | None,
        typer.Option(help="Compute new vectors from samples, and only those of nodes with new edges: 15,10, say."),
    ] = None,
) -> None:
    """Take new users, items and edges into a run without training: they get vectors from what they are joined to."""
    from graphrec.data import Dataset
    from graphrec.recommender import load
    from graphrec.runs import check_free

    check_free(out)
    earlier = load(run)
    later = earlier.extend(Dataset.load(graph), o.fanout_of(fanout) if fanout else None)
    later.save(out)
    for kind in ("users", "items", "entities"):
        ids, known = getattr(later.dataset, kind), getattr(earlier.dataset, kind)
        say(f"{kind}: {len(ids):,}, of them {(known.lookup(ids.array) < 0).sum():,} new")
    say_known(later.run)
    say(f"the run is in {out}")
    say_next(f"graphrec recommend {out} --user ID")
