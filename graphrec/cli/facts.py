"""Facts about tables and graphs, laid out for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphrec.cli.console import emit_table

Facts = Mapping[str, Any]


def show_dataset(found: Facts) -> None:
    """What ``check_dataset`` found: sizes, parts, knowledge, and whatever deserves a second look."""
    source = found["source"]
    spread = ("min", "median", "mean", "max")
    rows = [
        [kind, found[kind], *(_short(found[f"rows_per_{kind[:-1]}"][name]) for name in spread), found[cold]["count"]]
        for kind, cold in (("users", "cold_users"), ("items", "cold_items"))
    ]
    columns = ["kind", "number", *(f"rows: {name}" for name in spread), "without a train row"]
    emit_table(columns, rows)
    pairs = [["all", found["interactions"]], *found["parts"].items()]
    emit_table([f"interactions (split: {source['split']})", "rows"], pairs)
    knowledge = found["knowledge"]
    if knowledge["triples"]:
        linked = f"{knowledge['linked_items']['share']:.0%} of the items"
        relations = [["all", knowledge["triples"]], *knowledge["relations"].items()]
        emit_table([f"knowledge (reaches {linked})", "triples"], relations)
    emit_table(["table", "rows read"], list(source["rows"].items()))
    remarks = [[number, words] for number, words in _remarks(found) if number]
    if remarks:
        emit_table(["number", "worth a look"], remarks)


def show_graph(report: Facts) -> None:
    """What ``graph_report`` found."""
    columns = {"fewest": "q0", "median": "q0.5", "mean": "mean", "most": "q1"}
    rows = []
    for kind, number in report["nodes"].items():
        degrees = report["degrees"].get(kind, {})
        rows.append([kind, number, report["isolated"][kind], *(_short(degrees.get(name)) for name in columns.values())])
    emit_table(["node", "number", "isolated", *(f"edges: {name}" for name in columns)], rows)
    emit_table(["edge", "number"], list(report["edges"].items()))
    components = report["components"]
    emit_table(["components", "nodes in the largest"], [[components["count"], components["largest"]]])


def _remarks(found: Facts) -> Iterator[tuple[int, str]]:
    """Numbers that are zero in the simplest of worlds."""
    source = found["source"]
    yield source["duplicates"], "repeated rows, joined to one each"
    yield source["below_min_rating"], f"rows rated below {source['min_rating']}, left out"
    yield source.get("negatives", 0), "rows labelled as no interaction: they train nothing, and judge (AUC)"
    yield source.get("both_labels", 0), "pairs labelled both ways: they count as interactions"
    yield source["duplicate_triples"], "repeated triples, joined to one each"
    yield found["test_users_without_train"], "users with test rows and no train row: they cannot be judged"
    yield found["pairs_in_train_and_test"], "pairs in both train and test: they cannot be hit"
    yield found["knowledge"]["self_loops"], "triples that join a name to itself: they carry nothing"
    yield found["knowledge"]["unlinked_entities"], "entities in no triple"
    yield source["skipped"]["count"], "bad rows, skipped; the first of them:"
    for fault in source["skipped"]["first"]:
        place = fault.get("line", fault.get("row"))
        yield place, f"{fault['file']}: {fault['reason']} (the number is its {'line' if 'line' in fault else 'row'})"


def _short(value: float | None) -> str:
    """A count or a mean, without digits that say nothing.

    >>> _short(12.0), _short(12.15), _short(None)
    ('12', '12.2', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
