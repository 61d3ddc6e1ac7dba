"""Plots as data URIs, drawn without a display or shared state: the same numbers give the same bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLORS = ("#0b6e99", "#c8553d", "#4f8a3c", "#8a5fa8", "#b8860b", "#3d4f5f")
HEAT = LinearSegmentedColormap.from_list("heat", ["#eef3f6", COLORS[0]])
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

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
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

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
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


def heat_maps(
    panels: Mapping[str, np.ndarray], rows: Sequence[str], columns: Sequence[str], *, x_label: str, y_label: str
) -> str:
    """Shares as colours and as per cent, a panel a name; the last row and column, set apart, are over all.

    Args:
        panels: shares in [0, 1] by name, [rows, columns]; a cell of NaN stays empty.
        rows, columns: their names.
        x_label, y_label: what columns and rows are.
    """
    highest = max(0.01, *(float(np.nanmax(values)) for values in panels.values()))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(-(-len(panels) // 2), 2, squeeze=False, sharey=True)
        for axes in grid.flat[len(panels) :]:
            axes.axis("off")
        for axes, (name, values) in zip(grid.flat, panels.items(), strict=False):
            _heat_map(axes, values, highest)
            axes.set_title(_plain(name), color=INK, fontsize=10)
            axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(rows)), rows)
        figure.supxlabel(x_label, color=INK, fontsize=10)
        figure.supylabel(y_label, color=INK, fontsize=10)

    height = 0.6 + 0.24 * len(rows)
    return _picture(draw, (5.2, 0.3 + (height + 0.4) * -(-len(panels) // 2)))


def _heat_map(axes: Axes, values: np.ndarray, highest: float) -> None:
    edges = [np.arange(size + 1) - 0.5 for size in values.T.shape]
    axes.pcolormesh(*edges, values, cmap=HEAT, vmin=0, vmax=highest, edgecolor="white", linewidth=0.7)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            ink = "white" if value > 0.8 * highest else "#1d2733"
            axes.text(column, row, f"{100 * value:.0f}", color=ink, fontsize=8, ha="center", va="center")
    axes.axhline(len(values) - 1.5, color="white", linewidth=3)
    axes.axvline(values.shape[1] - 1.5, color="white", linewidth=3)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)


def _picture(draw: Callable[[Figure], None], size: tuple[float, float]) -> str:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _plain(text: str) -> str:
    """Text that matplotlib draws as it stands (a dollar sign begins a formula there), cut where it is long."""
    short = text if len(text) <= 28 else text[:27] + "…"
    return short.replace("$", r"\$")
