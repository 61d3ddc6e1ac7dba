"""extend: a finished run on newer data, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import options as o
from graphrec.cli.console import say, say_next


def extend(
    run: o.RunFolder,
    graph: Annotated[Path, typer.Argument(metavar="GRAPH", help="A graph folder with the newer data.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to write.")],
) -> None:
    """Take new users, items and edges into a run without training: they get vectors from what they are joined to."""
    from graphrec.data import Dataset
    from graphrec.recommender import load

    earlier = load(run)
    later = earlier.extend(Dataset.load(graph))
    later.save(out)
    for kind in ("users", "items", "entities"):
        ids, known = getattr(later.dataset, kind), getattr(earlier.dataset, kind)
        say(f"{kind}: {len(ids):,}, of them {(known.lookup(ids.array) < 0).sum():,} new")
    say(f"the run is in {out}")
    say_next(f"graphrec recommend {out} --user ID")
