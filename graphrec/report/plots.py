"""Plots as data URIs, drawn without a display or shared state: the same numbers give the same bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLORS = ("#0b6e99", "#c8553d", "#4f8a3c", "#8a5fa8", "#b8860b", "#3d4f5f")
LINES = ("-", "--", "-.", ":")
INK, GRID = "#3d4956", "#dfe4ea"

RC: dict[Any, Any] = {
    "svg.hashsalt": "graphrec",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}

Line = tuple[np.ndarray, np.ndarray]


def lines(series: Mapping[str, Line], *, x_label: str, y_label: str, log: bool = False) -> str:
    """Lines that differ by colour and by dash.

    Args:
        series: x and y by name.
        x_label, y_label: of the axes.
        log: both axes logarithmic.
    """

    def draw(axes: Axes) -> None:
        for place, (name, (x, y)) in enumerate(series.items()):
            (line,) = axes.plot(x, y, label=_plain(name), color=COLORS[place % len(COLORS)])
            line.set(linestyle=LINES[place % len(LINES)], marker="o" if len(x) <= 15 else "", markersize=3.5)
        axes.set(xlabel=x_label, ylabel=y_label)
        if log:
            axes.set(xscale="log", yscale="log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(True)
        axes.legend()

    return _picture(draw, (5.2, 3.3))


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]], *, x_label: str) -> str:
    """Horizontal bars, for each name one of every series.

    Args:
        names: of the groups, top to bottom.
        series: a value a group, by name.
        x_label: what the values are.
    """

    def draw(axes: Axes) -> None:
        height = 0.8 / len(series)
        for place, (name, values) in enumerate(series.items()):
            where = np.arange(len(names)) + (place - (len(series) - 1) / 2) * height
            axes.barh(where, values, height * 0.92, label=name, color=COLORS[place % len(COLORS)])
        axes.set(xlabel=x_label, yticks=np.arange(len(names)), yticklabels=[_plain(name) for name in names])
        axes.invert_yaxis()
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
        if len(series) > 1:
            axes.legend(loc="lower right")

    return _picture(draw, (5.2, 0.9 + 0.42 * len(names)))


def _picture(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _plain(text: str) -> str:
    """Text that matplotlib draws as it stands (a dollar sign begins a formula there), cut where it is long."""
    short = text if len(text) <= 28 else text[:27] + "…"
    return short.replace("$", r"\$")
