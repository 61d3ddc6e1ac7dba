"""A short pass of examples/benchmarks/fuzz.py: whatever is read ends in a result that holds or in an error with a code.

And of valid tables: the graph made of them is the one that pandas counts.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from graphrec.data import Dataset, IdMap, Part, read_dataset
from graphrec.data.large import parts, rows
from graphrec.graph import HeteroGraph, build_graph
from tests.strategies import hetero_graphs, interaction_frames, knowledge_frames

SCRIPTS = Path(__file__).parent.parent / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def fuzz() -> Any:
    """The script, which imports its neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("fuzz")


def outcomes(strategy: st.SearchStrategy[Any], check: Callable[[Any, Path], str], count: int) -> Counter[str]:
    """How many of ``count`` inputs, the same in every run, had which outcome."""
    found: Counter[str] = Counter()

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(drawn: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found[check(drawn, Path(folder, "files"))] += 1

    one()
    return found


@pytest.mark.parametrize(("target", "count"), [("tables", 120), ("folders", 80)])
def test_tables_are_read_whole_or_refused(fuzz: Any, tmp_path: Path, target: str, count: int) -> None:
    found = outcomes(*fuzz.prepared(target, tmp_path), count)
    assert found["read"] >= 4 and found["GR012, skip: read"] >= 4 and len(found) > 6, found


def test_past_memory_as_in_memory(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((rows, "ROWS"), (rows, "BLOCK"), (parts, "TEXT_BYTES"), (rows.whole_users, "__defaults__")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    found = outcomes(*fuzz.prepared("large", tmp_path), 25)
    assert found["read"] >= 4 and len(found) > 3, found


@pytest.mark.parametrize(
    ("target", "count", "code", "fewest"),
    [("runs", 40, "GR031", 10), ("graphs", 30, "GR018", 10), ("checkpoints", 60, "GR031", 5)],
)
def test_a_damaged_folder_answers_as_before_or_is_refused(
    fuzz: Any, tmp_path: Path, target: str, count: int, code: str, fewest: int
) -> None:
    found = outcomes(*fuzz.prepared(target, tmp_path), count)
    assert found["read"] >= 3 and found[code] >= fewest, found


def test_the_checks_can_fail(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception without a code, rows that vanish, and a pair that stands in no file are failures."""
    checks, inputs = (importlib.import_module(name) for name in ("fuzz_checks", "fuzz_inputs"))
    given = inputs.Given({"log.csv": b"user_id,item_id\na,x\nb,y\n"}, {"interactions": "log.csv"})
    assert checks.check_tables(given, tmp_path / "whole") == "read"

    def fails(reader: Callable[..., Dataset], error: type[Exception]) -> None:
        monkeypatch.setattr(checks, "read_dataset", reader)
        with pytest.raises(error):
            checks.check_tables(given, Path(tempfile.mkdtemp(dir=tmp_path), "files"))

    def exchanged(interactions: Path, **options: Any) -> Dataset:
        return read_dataset(interactions, columns={"user_id": "item_id", "item_id": "user_id"}, **options)

    def other(interactions: Path, **options: Any) -> Dataset:
        return replace(read_dataset(interactions, **options), users=IdMap.from_values(["a", "c"]))

    fails(lambda **options: 1 / 0, ZeroDivisionError)
    fails(exchanged, AssertionError)
    fails(other, AssertionError)


@settings(max_examples=50)
@given(interaction_frames(), st.data())
def test_a_graph_is_what_pandas_counts(rows: pd.DataFrame, drawn: st.DataObject) -> None:
    facts = drawn.draw(st.none() | knowledge_frames(rows["item_id"].tolist()))
    data = read_dataset(rows, knowledge=facts)
    graph = build_graph(data, tuple(Part))
    check_graph(graph)
    used = rows.drop_duplicates(["user_id", "item_id"])
    told = pd.DataFrame({"head": [], "tail": []}) if facts is None else facts.drop_duplicates()
    ends = told[told["head"] != told["tail"]][["head", "tail"]].stack().value_counts()
    expected = {("user", name): count for name, count in used["user_id"].value_counts().items()}
    expected |= {("item", name): count + ends.get(name, 0) for name, count in used["item_id"].value_counts().items()}
    others = {*told["head"], *told["tail"]} - {*used["item_id"]}
    expected |= {("entity", name): ends.get(name, 0) for name in others}
    nodes = map(data.node_id, range(data.num_nodes))
    assert dict(zip(nodes, graph.adjacency.degree.tolist(), strict=True)) == expected


@settings(max_examples=50)
@given(interaction_frames(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: pd.DataFrame, random: Any) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    assert read_dataset(rows.iloc[order]).fingerprint() == read_dataset(rows).fingerprint()


@settings(max_examples=50)
@given(hetero_graphs())
def test_every_small_graph_keeps_its_promises(graph: HeteroGraph) -> None:
    check_graph(graph)


def check_graph(graph: HeteroGraph) -> None:
    """Rows sorted by (type, column), each edge once and beside its inverse."""
    csr = graph.adjacency
    assert csr.edge_type is not None
    edges = pd.DataFrame({"row": csr.row_index(), "kind": csr.edge_type, "col": csr.col})
    assert edges.equals(edges.sort_values(["row", "kind", "col"], ignore_index=True)) and not edges.duplicated().any()
    inverse = pd.DataFrame({"row": edges["col"], "kind": edges["kind"] ^ 1, "col": edges["row"]})
    assert set(inverse.itertuples(index=False, name=None)) == set(edges.itertuples(index=False, name=None))
    assert (edges["row"] != edges["col"]).all()
    assert csr.degree.tolist() == edges["row"].value_counts().reindex(range(graph.num_nodes), fill_value=0).tolist()


def test_the_long_target(tmp_path: Path) -> None:
    options = ["--minutes=0.02", "--target=folders", "--json", f"--out={tmp_path / 'out'}"]
    command = [sys.executable, str(SCRIPTS / "fuzz.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)["folders"]
    assert 0 < found["inputs"] == sum(found["outcomes"].values()) and found["failures"] == []
    assert not (tmp_path / "out").exists()
