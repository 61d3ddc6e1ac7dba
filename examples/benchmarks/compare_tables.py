"""What compare.py has measured, as tables: views by set, and paired tests over all sets."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from graphrec.evaluation import compare, holm

GROUPS = {"all": None, "rare": 5, "new": 1}  # test pairs whose item has fewer train rows than that
METRICS = ("recall@20", "ndcg@20")
TESTED = "recall@20"
READS = "test_reads.jsonl"

Row = dict[str, Any]


def report(out: Path, sets: list[str], seeds: list[int], tests: list[Row]) -> tuple[Row, str]:
    """All that is finished under ``out``: as JSON, and as Markdown."""
    measured = {name: read_views(out / name, seeds) for name in sets}
    tested = run_tests(out, sets, seeds, tests)
    logs = [out / name / READS for name in sets]
    reads = sum(len(log.read_text(encoding="utf-8").splitlines()) for log in logs if log.exists())
    parts = [show_set(name, views) for name, views in measured.items() if views]
    parts += [show_tests(tested), f"The test rows were read {reads} times in all."]
    return {"sets": measured, "tests": tested, "test_reads": reads}, "\n\n".join(parts)


def read_views(folder: Path, seeds: list[int]) -> dict[str, list[Row]]:
    """The finished rows of each view, seed by seed."""
    found: dict[str, list[Row]] = {}
    for file in sorted(folder.glob("*/seed-*/row.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        if row["seed"] in seeds:
            found.setdefault(file.parts[-3], []).append(row)
    return found


def run_tests(out: Path, sets: list[str], seeds: list[int], tests: list[Row]) -> list[Row]:
    """Each test that all seeds of both views are there for, with p-values corrected over all of them."""
    done = []
    for name in sets:
        for test in tests:
            values = [read_users(out / name / test[side], seeds) for side in ("a", "b")]
            there = [table for table in values if table is not None]
            for group in test["on"] if len(there) == 2 else ():
                a, b = (table[table["group"] == group] for table in there)
                if len(a) and len(b):
                    found = compare(a.drop(columns="group"), b.drop(columns="group"), TESTED)
                    told = {"set": name, "test": test["name"], "a": test["a"], "b": test["b"], "on": group}
                    means = {f"mean_{side}": float(table[TESTED].mean()) for side, table in (("a", a), ("b", b))}
                    done.append(told | means | found)
    corrected = holm([row["p_value"] for row in done])
    return [row | {"p_holm": float(p)} for row, p in zip(done, corrected, strict=True)]


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
    told |= {"used": row["reason"]} if "reason" in row else {}
    return "; ".join(f"{name} {value}" for name, value in told.items()) or "defaults"


def show_tests(tests: list[Row]) -> str:
    """Markdown: a line a test."""
    lines = ["### Paired tests of recall@20", ""]
    lines.append("| set | a against b | on | a | b | difference, 95 % | won / lost / tied | p | p, Holm |")
    lines.append("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for row in tests:
        names = [
            row["set"],
            f"{row['a']} against {row['b']}",
            row["on"],
            f"{row['mean_a']:.4f}",
            f"{row['mean_b']:.4f}",
        ]
        ends = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        counts = f"{row['won']} / {row['lost']} / {row['tied']}"
        lines.append(f"| {' | '.join([*names, ends, counts])} | {row['p_value']:.2g} | {row['p_holm']:.2g} |")
    return "\n".join(lines)
