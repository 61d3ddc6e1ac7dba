"""What the report says of a run's data, graph, configuration and machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from graphrec.data import check_dataset
from graphrec.graph import HeteroGraph
from graphrec.report import page, plots
from graphrec.report.page import Html
from graphrec.runs import Run

RELATIONS_SHOWN = 12


def data_section(run: Run) -> Html:
    """Users, items, interactions by part, and knowledge."""
    facts = check_dataset(run.dataset)
    shown = page.cards(
        [
            ("users", facts["users"]),
            ("items", facts["items"]),
            ("interactions", facts["interactions"]),
            ("of all pairs", f"{facts['density']:.3%}"),
            ("entities besides items", facts["entities"]),
            ("knowledge triples", facts["knowledge"]["triples"]),
        ]
    )
    uses = {"fit": "training", "select": "stopping", "blend": "weighing views", "test": "the final judgement"}
    parts = [(part, uses[part], count) for part, count in facts["parts"].items()]
    inside = [shown, page.table("Rows by part", ["part", "kept for", "rows"], parts)]
    relations = sorted(facts["knowledge"]["relations"].items(), key=lambda entry: -entry[1])
    if relations:
        rest = sum(count for _, count in relations[RELATIONS_SHOWN:])
        rows = relations[:RELATIONS_SHOWN] + ([(f"{len(relations) - RELATIONS_SHOWN} more", rest)] if rest else [])
        inside.append(page.table("Knowledge by relation", ["relation", "triples"], rows))
    cold = facts["cold_items"]["count"]
    note = f"{cold:,} items have no training row. " if cold else ""
    if relations:
        note += f"{facts['knowledge']['linked_items']['share']:.0%} of the items are linked to knowledge."
    return page.section("Data", *inside, page.tag("p", note, class_="quiet"))


def degree_section(graph: HeteroGraph) -> Html:
    """How many nodes have how many edges, in the graph that the model was fitted on."""
    degree = graph.adjacency.degree.cpu().numpy()
    curves, told = {}, []
    for kind, own in _kinds(graph).items():
        joined = np.sort(degree[own][degree[own] > 0])
        if len(joined):
            values, first = np.unique(joined, return_index=True)
            curves[kind] = (values, 1 - first / len(joined))
            told.append(f"{kind}: half have at least {np.median(joined):.0f}, the most {joined[-1]:,}")
    if not curves:
        return page.section("Graph", page.tag("p", "The graph has no edges."))
    source = plots.lines(curves, x_label="edges", y_label="share of nodes with as many", log=True)
    alone = int((degree == 0).sum())
    caption = f"{graph.num_nodes:,} nodes, {graph.adjacency.num_edges:,} directed edges; {alone:,} nodes have none."
    alt = "Share of nodes with at least so many edges, both axes logarithmic. " + "; ".join(told)
    return page.section("Graph", page.figure(source, alt, caption))


def settings_section(run: Run, folder: Path) -> Html:
    """Every setting of the run, and the machine that it ran on."""
    values: dict[str, Any] = run.config.model_dump(mode="json")
    nested = [(f"training.{name}", value) for name, value in values.pop("training").items()]
    for view, own in values.pop("view_training").items():
        nested += [(f"view_training.{view}.{name}", value) for name, value in own.items()]
    values["left_out"] = [f"{view} ({why})" for view, why in values["left_out"].items()]
    for model, settings in values.pop("models").items():
        nested += [(f"{model}.{name}", value) for name, value in settings.items()]
    rows = [(page.tag("code", name), _setting(value)) for name, value in [*values.items(), *nested]]
    inside = [page.table("Settings, as in config.toml", ["setting", "value"], rows)]
    record = folder / "environment.json"
    if record.exists():
        machine: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
        words = f"Python {machine['python']}, {machine['threads']} threads, {machine['platform']}. {packages}."
        inside.append(page.tag("p", words, class_="quiet"))
    return page.section("Settings", *inside)


def _kinds(graph: HeteroGraph) -> dict[str, slice]:
    return {"users": graph.user_slice, "items": graph.item_slice, "entities": graph.entity_slice}


def _setting(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
