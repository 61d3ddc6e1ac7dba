"""What the report says of a run's quality: headline, metrics, learning curves, fusion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from graphrec.report import page, plots
from graphrec.report.page import Html, Number
from graphrec.runs import Run
from graphrec.wording import duration

HEADLINE = ("recall@20", "ndcg@20")
VALID = "valid"
MEANING = {
    "recall": "share of a person's held-out items that are in the list",
    "ndcg": "the same, and earlier places count more",
    "precision": "share of the list that was held out",
    "f1": "harmonic mean of precision and recall",
    "map": "mean precision at each hit",
    "mrr": "one over the place of the first hit",
    "hit_rate": "share of people with at least one hit",
    "novelty": "surprise in bits: how few people know the listed items",
    "popularity_bias": "popularity of listed items beside that of used ones: 1 alike, above 1 more popular",
    "diversity": "how little the audiences of a list's items overlap",
    "coverage": "share of the catalogue that somebody is shown",
    "gini": "how unevenly items are shown: 0 all alike, 1 only one",
    "auc": "chance that a test pair scores above one that is labelled as no interaction",
}
ACCURACY = ("recall", "ndcg", "precision", "f1", "map", "mrr", "hit_rate", "auc")


def headline(run: Run) -> Html:
    """The few numbers to look at first, and how they stand beside the best baseline."""
    valid, test, baselines = _parts(run)
    facts: list[tuple[str, object]] = []
    for metric in HEADLINE:
        if metric in test:
            facts.append((f"{_label(metric)}, test", test[metric]))
        elif metric in valid:
            facts.append((f"{_label(metric)}, valid", valid[metric]))
    if baselines and HEADLINE[0] in test:
        name, best = max(baselines.items(), key=lambda entry: entry[1][HEADLINE[0]])
        facts.append((f"{_label(HEADLINE[0])} of {name}, the best baseline", best[HEADLINE[0]]))
    facts += [(f"epochs, {name}", count) for name, count in (run.metrics.get("epochs") or {}).items()]
    if len(run.history):
        facts.append(("training", duration(float(run.history["seconds"].sum()))))
    return page.cards(facts)


def metrics_section(run: Run) -> Html:
    """All metrics, those of the test rows beside the baselines."""
    valid, test, baselines = _parts(run)
    columns = {VALID: valid, "test": test, **baselines}
    columns = {name: values for name, values in columns.items() if values}
    note = (
        "Each person's items are ranked against the whole catalogue; what they used in training is left out. "
        "<em>valid</em> is judged on training rows held out for stopping, <em>test</em> and the baselines beside it on "
        "the test rows, which <code>graphrec evaluate</code> alone reads."
    )
    if not columns:
        absent = "Nothing was measured: no training rows were held out, and the test rows have not been read."
        return page.section("Quality", page.tag("p", absent))
    measured = {metric for values in columns.values() for metric in values}
    cutoffs = sorted({int(metric.split("@")[1]) for metric in measured if "@" in metric}, reverse=True)
    tables = [_metric_table(f"Lists of {cutoff}", f"@{cutoff}", columns) for cutoff in cutoffs]
    more = [page.tag("details", page.tag("summary", "Shorter lists"), *tables[1:])] if tables[1:] else []
    unread = [] if test else [page.tag("p", "The test rows have not been read yet.", class_="quiet")]
    labelled = {name: values for name, values in columns.items() if "auc" in values}
    pairs = [_metric_table("Labelled pairs", "", labelled)] if labelled else []
    return page.section("Quality", page.tag("p", Html(note)), *unread, tables[0], *pairs, *more)


def curves_section(run: Run) -> Html | None:
    """Loss and recall by epoch, a line a view and phase; None where nothing was trained by gradient."""
    if not len(run.history):
        return None
    groups = {_curve_name(*key): rows for key, rows in run.history.groupby(["model", "phase"], sort=False)}
    loss = {name: (rows["epoch"].to_numpy(), rows["loss"].to_numpy()) for name, rows in groups.items()}
    judged = {name: rows.dropna(subset="metric") for name, rows in groups.items()}
    recall = {name: (rows["epoch"].to_numpy(), rows["metric"].to_numpy()) for name, rows in judged.items() if len(rows)}
    figures = [
        page.figure(
            plots.lines(loss, x_label="epoch", y_label="loss"),
            "Training loss by epoch. " + "; ".join(_course(name, rows["loss"]) for name, rows in groups.items()),
            "Mean training loss of each epoch.",
        )
    ]
    if recall:
        told = "; ".join(_course(name, rows["metric"]) for name, rows in judged.items() if len(rows))
        caption = "Recall@20 on training rows held out for stopping. The best epoch is the one that is kept."
        source = plots.lines(recall, x_label="epoch", y_label="Recall@20")
        figures.append(page.figure(source, f"Recall@20 by epoch. {told}", caption))
    rows = [
        (name, len(group), float(group["seconds"].sum()), int(group["pairs_per_second"].median()))
        for name, group in groups.items()
    ]
    speed = page.table("Training time", ["view", "epochs", "seconds", "pairs a second"], rows)
    return page.section("Learning", page.tag("div", *figures, class_="figures"), speed)


def fusion_section(run: Run) -> Html | None:
    """Which views a fusion weighs, and what the people who judged it found; None for a single model."""
    fusion: dict[str, Any] | None = run.metrics.get("fusion")
    if fusion is None:
        return None
    words = page.tag("p", page.tag("strong", _verdict(fusion)), " ", _sentence(fusion["reason"]))
    counts = (
        f"The weights were fitted on {fusion['num_fit_rows']:,} held-out rows of {fusion['num_fit_users']:,} people. "
        f"What they are worth was judged on rows of {fusion['num_judges']:,} people, with weights that others fitted."
    )
    if not fusion["num_fit_users"]:
        counts = "No weights were fitted."
    inside = [words, page.tag("p", counts, class_="quiet")]
    inside += [page.tag("p", f"{view} is left out: {why}.") for view, why in run.config.left_out.items()]
    if fusion["judged"]:
        names = {"mean": "plain mean", "constant": "constant weights", "fused": "attention-fused"}
        names |= {name: f"{name}, constant weights" for name in fusion["fewer"]}
        judged = fusion["judged"] | fusion["fewer"]
        rows = [(names.get(name, name), found["recall@20"], found["ndcg@20"]) for name, found in judged.items()]
        inside.append(page.table("What those who judged found", ["score", "Recall@20", "NDCG@20"], rows))
        if not fusion["chosen"] and len(fusion["enough"]) < len(fusion["views"]):
            alone = f"With {' and '.join(fusion['enough'])} alone, NDCG@20 is within 0.5 % of what is used."
            inside.append(page.tag("p", alone))
    rows = [(view, fusion["scale"].get(view), *fusion["attention"].get(view, {}).values()) for view in fusion["views"]]
    contexts: dict[str, float] = next(iter(fusion["attention"].values()), {})
    columns = ["view", "scale γ", *(f"w: {context.replace('_', ' ')}" for context in contexts)]
    inside.append(page.table("Fitted weights; γ = 1 and w = 0 is the plain mean", columns, rows))
    return page.section("Fusion", *inside)


def _verdict(fusion: dict[str, Any]) -> str:
    if fusion["chosen"]:
        return f"The {fusion['chosen']} view is used alone."
    attends = any(weight for weights in fusion["attention"].values() for weight in weights.values())
    return "The views are weighed for each pair." if attends else "The views have the same weights for every pair."


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."


def _parts(run: Run) -> tuple[dict[str, float], dict[str, float], dict[str, dict[str, float]]]:
    """Metrics on the select rows, on the test rows, and of the baselines there; empty where not measured."""
    metrics: dict[str, Any] = run.metrics
    return metrics.get("valid") or {}, metrics.get("test") or {}, metrics.get("baselines") or {}


def _metric_table(title: str, ending: str, columns: Mapping[str, Mapping[str, float]]) -> Html:
    """The metrics whose names have this ending."""
    names = [name for name in MEANING if any(name + ending in values for values in columns.values())]
    rows = []
    for name in names:
        values = [column.get(name + ending) for column in columns.values()]
        # only numbers on the same rows are compared
        tested = [value for key, value in zip(columns, values, strict=True) if key != VALID]
        best = max((v for v in tested if v is not None), default=None) if name in ACCURACY and len(tested) > 1 else None
        label = page.join([_label(name), page.tag("small", MEANING[name])])
        cells = [
            Number(page.tag("span", value, class_="best"))
            if value is not None and value == best and key != VALID
            else value
            for key, value in zip(columns, values, strict=True)
        ]
        rows.append((label, *cells))
    return page.table(f"{title}; the best on the test rows is bold", ["metric", *columns], rows)


def _label(metric: str) -> str:
    """``ndcg@20`` as people write it."""
    name, *cutoff = metric.split("@")
    written = name.upper() if name in ("ndcg", "map", "mrr", "f1", "auc") else name.replace("_", " ").capitalize()
    return "@".join([written, *cutoff])


def _curve_name(model: Any, phase: Any) -> str:
    return f"{model} (on all train rows)" if phase == "refit" else model


def _course(name: str, values: pd.Series) -> str:
    return f"{name}: from {values.iloc[0]:.4g} to {values.iloc[-1]:.4g}, best {values.max():.4g}"
