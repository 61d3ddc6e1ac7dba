"""What compare.py has measured, as tables: views by set, and paired tests over all sets."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from graphrec.evaluation import compare, holm
from graphrec.files import write_text

GROUPS = {"all": None, "rare": 5, "new": 1}  # test pairs whose item has fewer train rows than that
METRICS = ("recall@20", "ndcg@20")
TESTED = "recall@20"
READS = "test_reads.jsonl"
BEST = "best single view"  # on the test rows: a rival chosen in hindsight

Row = dict[str, Any]


def report(out: Path, sets: list[str], seeds: list[int], tests: list[Row]) -> str:
    """All that is finished under ``out``, as Markdown; of each set measured there SET.json is written first.

    A set of which nothing but SET.json is there is told by that.
    """
    for name in sets:
        found = summarize(out / name, seeds, tests)
        if found["views"]:
            write_text(out / f"{name}.json", json.dumps(found, indent=1) + "\n")
    files = {name: out / f"{name}.json" for name in sets}
    known = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}
    reads = sum(found["test_reads"] for found in known.values())
    parts = [show_set(name, found["views"]) for name, found in known.items()]
    tested = [row for found in known.values() for row in found["tests"]]
    return "\n\n".join([*parts, show_tests(tested), f"The test rows were read {reads} times in all."])


def summarize(folder: Path, seeds: list[int], tests: list[Row]) -> Row:
    """What was measured on one set: rows by view, paired tests, and how often test rows were read."""
    log = folder / READS
    reads = len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0
    return {"views": read_views(folder, seeds), "tests": run_tests(folder, seeds, tests), "test_reads": reads}


def read_views(folder: Path, seeds: list[int]) -> dict[str, list[Row]]:
    """The finished rows of each view, seed by seed."""
    found: dict[str, list[Row]] = {}
    for file in sorted(folder.glob("*/seed-*/row.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        if row["seed"] in seeds:
            found.setdefault(file.parts[-3], []).append(row)
    return found


def run_tests(folder: Path, seeds: list[int], tests: list[Row]) -> list[Row]:
    """Each test that all seeds of both views are there for, with its own p-value."""
    done = []
    for test in tests:
        sides = {side: best_single(folder, seeds) if test[side] == BEST else test[side] for side in ("a", "b")}
        values = [read_users(folder / name, seeds) for name in sides.values()]
        there = [table for table in values if table is not None]
        for group in test["on"] if len(there) == 2 else ():
            a, b = (table[table["group"] == group] for table in there)
            if len(a) and len(b):
                found = compare(a.drop(columns="group"), b.drop(columns="group"), TESTED)
                told = {"set": folder.name, "test": test["name"], **sides, "on": group}
                means = {f"mean_{side}": float(table[TESTED].mean()) for side, table in (("a", a), ("b", b))}
                done.append(told | means | found)
    return done


def best_single(folder: Path, seeds: list[int]) -> str:
    """The best of the views that fuse nothing."""
    found = read_views(folder, seeds)
    single = {name: rows for name, rows in found.items() if not {"views", "minutes"} & rows[0]["options"].keys()}
    return max(single, key=lambda name: spread(single[name], "all", TESTED)[0], default=BEST)


def read_users(folder: Path, seeds: list[int]) -> pd.DataFrame | None:
    """The values of each user, averaged over the seeds; None unless all seeds are there."""
    files = [folder / f"seed-{seed}" / "per_user.parquet" for seed in seeds]
    if not all(file.exists() for file in files):
        return None
    table = pd.concat(pd.read_parquet(file) for file in files)
    return table.groupby(["group", "user_index"], as_index=False)[list(METRICS)].mean()


def show_set(name: str, views: dict[str, list[Row]]) -> str:
    """Markdown: a line a view, the mean over seeds and its deviation."""
    lines = [f"### {name}", "", "| view | recall@20 | NDCG@20 | recall@20, rare | recall@20, new | settings |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    for view, rows in sorted(views.items(), key=lambda pair: spread(pair[1], "all", TESTED)[0]):
        cells = [figure(rows, "all", "recall@20"), figure(rows, "all", "ndcg@20")]
        cells += [figure(rows, group, "recall@20") for group in ("rare", "new")]
        lines.append(f"| {' | '.join([view, *cells, settings(rows[0])])} |")
    users = next(iter(views.values()))[0]["test"]
    counted = ", ".join(f"{found['users']:,} {group}" for group, found in users.items())
    return "\n".join([*lines, "", f"Users judged: {counted}."])


def spread(rows: list[Row], group: str, metric: str) -> tuple[float, float]:
    """Mean over seeds and deviation."""
    values = [row["test"][group][metric] for row in rows if group in row["test"]]
    return (mean(values), stdev(values) if len(values) > 1 else 0.0) if values else (float("nan"), 0.0)


def figure(rows: list[Row], group: str, metric: str) -> str:
    """As a cell; a dash where nobody could be judged."""
    middle, deviation = spread(rows, group, metric)
    if middle != middle:
        return "–"
    return f"{middle:.4f}" + (f" ± {deviation:.4f}" if deviation else "")


def settings(row: Row) -> str:
    """Settings and epochs as a cell."""
    told = {name: ", ".join(value) if isinstance(value, list) else value for name, value in row["options"].items()}
    told |= {"epochs": row["epochs"]} if row.get("epochs") else {}
    told |= {"views": ", ".join(row["views"])} if "views" in row else {}
    told |= {"used": row["reason"]} if "reason" in row else {}
    told |= {"within 0.5 %": ", ".join(row["enough"])} if "enough" in row else {}
    return "; ".join(f"{name} {value}" for name, value in told.items()) or "defaults"


def show_tests(tests: list[Row]) -> str:
    """Markdown: a line a test, its p-value also as corrected over all of them."""
    lines = ["### Paired tests of recall@20", ""]
    lines.append("| set | a against b | on | a | b | difference, 95 % | won / lost / tied | p | p, Holm |")
    lines.append("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for row, corrected in zip(tests, holm([row["p_value"] for row in tests]), strict=True):
        names = [
            row["set"],
            f"{row['a']} against {row['b']}",
            row["on"],
            f"{row['mean_a']:.4f}",
            f"{row['mean_b']:.4f}",
        ]
        ends = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        counts = f"{row['won']} / {row['lost']} / {row['tied']}"
        lines.append(f"| {' | '.join([*names, ends, counts])} | {row['p_value']:.2g} | {corrected:.2g} |")
    return "\n".join(lines)
