"""The report of every kind of run: its numbers are in it, nothing is loaded from elsewhere, no id becomes markup."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import graphrec
from graphrec.comparison import evaluate_runs
from graphrec.data import Dataset
from graphrec.errors import RunError
from graphrec.models import GAT
from graphrec.report import plots, write_report
from graphrec.report.explained import attention_shares
from graphrec.report.page import safe, table, tag
from graphrec.report.weighed import TITLE
from tests.worlds import small_world

EVIL = "'\"><script>alert(1)</script>"
VOID = {"meta", "img"}


class Checker(HTMLParser):
    """Notes the elements of a page, and what is wrong with it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.headings: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "link", "iframe", "object") or any(name.startswith("on") for name in given):
            self.wrong.append(f"{tag} {given}")
        if "href" in given or not (given.get("src") or "data:").startswith("data:"):
            self.wrong.append(f"{tag} loads {given}")
        if tag == "img" and not given.get("alt"):
            self.wrong.append("a picture without alt text")
        if any("_" in name for name in given):
            self.wrong.append(f"{tag} has {given}, which nobody reads")
        if tag == "th" and given.get("scope") not in ("row", "col"):
            self.wrong.append("a table header without scope")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def check(path: Path) -> tuple[str, Checker]:
    """The page and what it holds; fails where it is not well formed, not self-contained or not accessible."""
    page = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert checker.wrong == [] and checker.open == []
    for picture in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page):
        svg = base64.b64decode(picture).decode()
        assert "<script" not in svg and not re.search(r'(href|src)="(?!#)', svg)
    assert not re.search(r"https?://|url\(|@import", page)
    return page, checker


@pytest.fixture(scope="module")
def data() -> Dataset:
    return small_world()


@pytest.mark.parametrize("model", ["popularity", "item_knn", "lightgcn", "gat", "fused"])
def test_report_holds_the_numbers_of_the_run(model: str, data: Dataset, tmp_path: Path) -> None:
    trained = model not in ("popularity", "item_knn")
    options = {"epochs": 2, "width": 8} if trained else {}
    graphrec.train(data, model=model, seed=1, **options).save(tmp_path / "run")
    path = write_report(tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    page, checker = check(path)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert f"{metrics['valid']['recall@20']:.4f}" in page
    assert "have not been read" in page
    expected = ["Quality", *(["Learning"] if trained else []), *(["Fusion", TITLE] if model == "fused" else [])]
    expected += ["A few people", *(["Attention"] if model in ("gat", "fused") else []), "Data", "Graph", "Settings"]
    assert checker.headings == expected
    if model == "fused":
        assert metrics["fusion"]["reason"][1:] in page

    evaluate_runs([tmp_path / "run"])
    page, _ = check(write_report(tmp_path / "run"))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for found in (metrics["test"], *metrics["baselines"].values()):
        assert f"{found['ndcg@20']:.4f}" in page
    assert "have not been read" not in page


def test_refit_without_held_out_rows_says_that_nothing_was_measured(data: Dataset, tmp_path: Path) -> None:
    graphrec.train(data, model="lightgcn", epochs=2, width=8, patience=0, refit=True).save(tmp_path / "run")
    page, _ = check(write_report(tmp_path / "run"))
    assert "Nothing was measured" in page and "on all train rows" in page


def test_nothing_from_the_tables_becomes_markup(tmp_path: Path) -> None:
    world = graphrec.synthetic.generate(seed=7, num_users=40, num_items=30)
    world.items["title"] = EVIL
    rename = lambda ids: ids.map(lambda name: f'"><img src=x onerror=alert(1)>$&{name}')  # noqa: E731
    interactions = world.interactions.assign(
        user_id=rename(world.interactions["user_id"]), item_id=rename(world.interactions["item_id"])
    )
    items = world.items.assign(item_id=rename(world.items["item_id"]))
    knowledge = world.knowledge.assign(
        head=rename(world.knowledge["head"]), relation=world.knowledge["relation"] + EVIL + "$x$"
    )
    evil = graphrec.read_dataset(interactions, knowledge=knowledge, items=items)
    folder = tmp_path / "<b>run"
    graphrec.train(evil, model="gat", epochs=1, width=8).save(folder)
    page, checker = check(write_report(folder))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Attention" in checker.headings


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        write_report(tmp_path)


def test_attention_starts_where_lightgcn_is(data: Dataset) -> None:
    graph = graphrec.build_graph(data)
    view = GAT(graph, GAT.Settings(width=8))
    shares = attention_shares(view)
    assert list(shares) == ["items"]  # users have items alone, and an entity belongs to items by one relation
    for before, learned in shares["items"].values():
        assert learned == pytest.approx(before, abs=1e-5)
    assert sum(before for before, _ in shares["items"].values()) == pytest.approx(1, abs=1e-5)


def test_values_as_people_read_them() -> None:
    assert safe(tag("b", "x")) == "<b>x</b>"
    assert [safe(value) for value in (True, 0.5, 12.345, 1234.56, None)] == ["yes", "0.5000", "12.35", "1,234.6", "–"]
    found = table("two", ["name", "count"], [("a<b", 3)])
    assert '<th scope="row">a&lt;b</th><td class="number">3</td>' in found


def test_plots_repeat_to_the_byte() -> None:
    series = {"a": (np.arange(1, 4), np.array([1.0, 2.0, 3.0]))}
    first, second = (plots.lines(series, x_label="x", y_label="y", log=True) for _ in range(2))
    assert first == second
    assert plots.bars(["$a", "b"], {"c": [1.0, 2.0]}, x_label="x").startswith("data:image/svg+xml;base64,")


def test_history_of_one_row_is_drawn(data: Dataset, tmp_path: Path) -> None:
    recommender = graphrec.train(data, model="lightgcn", epochs=1, width=8, eval_every=5)
    assert isinstance(recommender.run.history, pd.DataFrame) and len(recommender.run.history) == 1
    recommender.save(tmp_path / "run")
    check(write_report(tmp_path / "run"))
