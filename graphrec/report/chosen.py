"""What the report says of how a run's configuration was found: chosen for a time, or searched."""

from __future__ import annotations

from typing import Any

from graphrec.report import page
from graphrec.report.page import Html
from graphrec.runs import Run


def choice_section(run: Run) -> Html | None:
    """Which views and epochs were chosen, and why; None where they were given."""
    choice: dict[str, Any] | None = run.metrics.get("choice")
    if choice is None:
        return None
    words = (
        f"Views and epochs were chosen for a run of {choice['minutes']:g} minutes, before it began, by a few steps of "
        f"each view on this machine. It was expected to take {choice['expected']:.1f}."
    )
    rows = [(view, "taken", why) for view, why in choice["views"].items()]
    rows += [(view, "left out", why) for view, why in run.config.left_out.items()]
    return page.section("Choice", page.tag("p", words), page.table("Views", ["view", "", "why"], rows))


def search_section(run: Run) -> Html | None:
    """Which settings a search found; None where there was none."""
    tuning: dict[str, Any] | None = run.metrics.get("tuning")
    if tuning is None:
        return None
    words = (
        f"Settings were searched for {tuning['minutes']:g} minutes, on the select rows alone; what was found is the "
        "configuration of this run. A figure that many trials have chosen is a little too good."
    )
    rows = [
        (
            search["view"],
            search["trials"],
            search["pruned"],
            search["failed"],
            ", ".join(f"{name} {_short(value)}" for name, value in search["settings"].items()),
            search["given_recall"],
            search["recall"],
        )
        for search in tuning["searches"]
    ]
    columns = ["view", "trials", "broken off", "failed", "best settings", "Recall@20 before", "Recall@20"]
    return page.section("Search", page.tag("p", words), page.table("What each search found", columns, rows))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
