"""A run as one page to look at: what was run, how good it is, and why it recommends what it does."""

from __future__ import annotations

import os
from pathlib import Path

from graphrec.files import write_text
from graphrec.recommender import Recommender
from graphrec.report import chosen, described, explained, measured, page, weighed
from graphrec.runs import REPORT, load_run


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into a finished run's folder: one file, no scripts, nothing loaded from elsewhere.

    Args:
        folder: of the run. Test results stand in the report once ``graphrec evaluate`` has written them there.

    Returns:
        The page's path.

    Raises:
        RunError: no run, an unfinished one, or a damaged one.
    """
    root = Path(folder)
    run = load_run(root)
    recommender = Recommender(run)
    dataset = run.dataset
    place = root.resolve().name
    summary = f"Run {place}: {dataset.num_users:,} users, {dataset.num_items:,} items, seed {run.config.seed}"
    sections = [
        measured.metrics_section(run),
        measured.curves_section(run),
        measured.fusion_section(run),
        weighed.views_section(recommender),
        chosen.choice_section(run),
        chosen.search_section(run),
        explained.people_section(recommender),
        explained.attention_section(recommender),
        described.data_section(run),
        described.degree_section(run.model.graph),
        described.settings_section(run, root),
    ]
    header = page.tag("header", page.tag("h1", run.config.model), page.tag("p", summary), measured.headline(run))
    shown = [section for section in sections if section is not None]
    write_text(root / REPORT, page.page(f"{run.config.model} ({place})", header, *shown))
    return root / REPORT


__all__ = ["write_report"]
