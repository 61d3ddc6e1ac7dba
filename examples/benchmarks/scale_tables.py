"""What scale.py found: as a table, as a plot, and continued to sizes that were not measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

FIGURES = ("seconds", "peak_mb", "disk_mb")
PARTIAL = ("train-steps", "train", "rank")  # not the same work at every size: what follows from them is continued
PANELS = (("seconds", 1, "seconds"), ("peak_mb", 1000, "peak resident memory, GB"))
NOT_OURS = ("generate", "generate-csv")
ASSUMED = """
Extrapolated, not measured: a + b × interactions through the sizes measured, fitted by relative error. Users and items
grow with the interactions here, so a fit on nodes would say the same. Ranking everybody is fitted on the square of the
interactions, since users and items both grow. What would no longer fit is not considered.
"""


def derive(rows: Sequence[Row]) -> list[Row]:
    """The rows and behind each what follows from it: the time of an epoch, and of ranking everybody."""
    found = []
    alone = {row["edges"]: row["seconds"] for row in rows if row["stage"] == "rank-one"}
    for row in rows:
        found.append({**row, "extrapolated": False})
        if row["stage"] == "train-steps":
            found.append(_derived(row, "an epoch", row["seconds_per_step"] * row["steps_per_epoch"]))
        if row["stage"] == "rank" and row["edges"] in alone:
            share = row["users_ranked"] / row["users"]
            start = min(alone[row["edges"]], row["seconds"])
            found.append(_derived(row, "rank all", start + (row["seconds"] - start) / share, share))
    return found


def _derived(row: Row, stage: str, seconds: float, share: float = 0.0) -> Row:
    """A row that follows from a measured one, which did ``share`` of the work."""
    given = {"edges": row["edges"], "stage": stage, "seconds": seconds, "peak_mb": row["peak_mb"]}
    return given | {"disk_mb": row["disk_mb"] / share if share else 0.0, "extrapolated": share < 1}


def extrapolate(rows: Sequence[Row], sizes: Sequence[int]) -> Iterator[Row]:
    """What each stage that was measured at two sizes or more would need at others.

    Args:
        rows: as ``derive`` returns them.
        sizes: interactions.
    """
    for edges in sizes:
        for stage, own in by_stage(rows).items():
            if len(own) < 2:
                continue
            growth = {"seconds": 2 if stage == "rank all" else 1}
            figures = {name: continued(own, name, edges, growth.get(name, 1)) for name in FIGURES}
            yield {"edges": edges, "stage": stage, **figures, "extrapolated": True}


def by_stage(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each stage that does the same work at every size."""
    stages = dict.fromkeys(row["stage"] for row in rows if row["stage"] not in PARTIAL)
    return {stage: [row for row in rows if row["stage"] == stage] for stage in stages}


def continued(rows: Sequence[Row], name: str, edges: int, growth: int = 1) -> float:
    """A figure at another size, from a line a + b x, where x is the interactions to the power of ``growth``.

    Where the line would fall, the largest of the figures.

    >>> round(continued([{"edges": 10, "mb": 7.0}, {"edges": 20, "mb": 12.0}], "mb", 100), 6)
    52.0
    """
    x = np.array([(row["edges"] / edges) ** growth for row in rows])
    y = np.array([row[name] for row in rows])
    if not y.all():  # nothing on disk
        return 0.0
    slope, start = np.polyfit(x, y, 1, w=1 / y)
    return float(start + slope) if slope > 0 else float(y.max())


def show(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| interactions | stage | time | peak memory | on disk | |", "|---:|---|---:|---:|---:|---|"]
    for row in rows:
        cells = [f"{row['edges']:,}", row["stage"], duration(row["seconds"])]
        cells += [volume(row["peak_mb"]), volume(row["disk_mb"]) if row["disk_mb"] else "–", remark(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """For people.

    >>> duration(5.25), duration(7260), duration(86400 * 9)
    ('5.2 s', '2.0 h', '9.0 d')
    """
    for unit, length in (("years", 365 * 86_400), ("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def volume(megabytes: float) -> str:
    """For people.

    >>> volume(0.25), volume(712.3), volume(48_000)
    ('0.2 MB', '712 MB', '48.0 GB')
    """
    for unit, size in (("TB", 1e6), ("GB", 1e3)):
        if megabytes >= size:
            return f"{megabytes / size:.1f} {unit}"
    return f"{megabytes:.0f} MB" if megabytes >= 10 else f"{megabytes:.1f} MB"


def remark(row: Row) -> str:
    """What else there is to say about a row."""
    words = [f"{row['epochs']} epochs"] if "epochs" in row else []
    if "seconds_per_step" in row:
        words += [f"{row['seconds_per_step'] * 1000:.1f} ms a step", f"{row['nodes_per_step']:,.0f} nodes a step"]
        words.append(f"{row['seconds_per_node'] * 1e6:.2f} µs a node")
    if "edges_per_second" in row:
        words.append(f"{row['edges_per_second'] / 1e6:.1f} M edges a second")
    if "users_ranked" in row:
        words.append(f"{row['users_ranked']:,} of {row['users']:,} users")
    return ", ".join([*words, *["extrapolated"] * row["extrapolated"]])


def plot(rows: Sequence[Row], file: Path) -> None:
    """Time and memory against interactions, a line a stage; an open mark is extrapolated from a part of the work."""
    import matplotlib
    from matplotlib.figure import Figure

    from graphrec.report.plots import RC

    series = {stage: own for stage, own in by_stage(rows).items() if stage not in NOT_OURS}
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(10.5, 4.2), layout="constrained")
        figure.get_layout_engine().set(wspace=0.06)
        for axes, panel in zip(figure.subplots(1, 2), PANELS, strict=True):
            _draw(axes, series, *panel)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        (mark,) = figure.axes[0].plot([], [], "o", color="black", markerfacecolor="white", markersize=5)
        figure.legend([*handles, mark], [*labels, "extrapolated"], loc="outside right center", handlelength=3)
        figure.savefig(file, dpi=150)


def _draw(axes: Axes, series: dict[str, list[Row]], name: str, unit: int, label: str) -> None:
    """One figure of all stages."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    from graphrec.report.plots import COLORS, LINES

    for place, (stage, own) in enumerate(series.items()):
        color, dash = COLORS[place % len(COLORS)], LINES[place % len(LINES)]
        edges, figures = [row["edges"] for row in own], np.array([row[name] for row in own]) / unit
        axes.plot(edges, figures, dash, color=color, label=stage)
        filled = ["white" if name == "seconds" and row["extrapolated"] else color for row in own]
        axes.scatter(edges, figures, s=26, edgecolors=color, facecolors=filled, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="interactions", ylabel=label)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True)
