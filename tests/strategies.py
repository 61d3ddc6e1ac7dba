"""Small valid tables and graphs for property tests; bytes that may be wrong: examples/benchmarks/fuzz_inputs.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble

names = st.sampled_from(["7", "007", "10", "NA", "é", "ann", "bob", "x,y", "\U0001f600"])
relations = st.sampled_from(["by", "genre", "like"])


@st.composite
def interaction_frames(draw: st.DrawFn) -> pd.DataFrame:
    """Interactions, with or without times; pairs may come several times."""
    rows = draw(st.lists(st.tuples(names, names, st.integers(0, 9)), min_size=1, max_size=25))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    return frame if draw(st.booleans()) else frame.drop(columns="timestamp")


@st.composite
def knowledge_frames(draw: st.DrawFn, items: list[str]) -> pd.DataFrame:
    """Facts of which at least one is about an item; loops and equal ones are among them."""
    first = (draw(st.sampled_from(items)), draw(relations), draw(names))
    others = draw(st.lists(st.tuples(names, relations, names), max_size=15))
    return pd.DataFrame([first, *others], columns=["head", "relation", "tail"])


@st.composite
def hetero_graphs(draw: st.DrawFn) -> HeteroGraph:
    """Graphs of up to four users, items and entities, with up to two relations beside ``interacts``."""
    users, items, entities = draw(st.tuples(*[st.integers(0, 4)] * 3))
    used = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)))) if users and items else []
    kinds = draw(st.integers(0, 2))
    nodes = st.integers(0, users + items + entities - 1)
    facts = draw(st.lists(st.tuples(nodes, st.integers(1, kinds), nodes))) if kinds and users + items + entities else []
    rows = [(user % users, 0, users + item % items) for user, item in used] + facts
    source, relation, target = np.array(rows, np.int64).reshape(-1, 3).T
    return assemble((users, items, entities), ["interacts", "by", "like"][: kinds + 1], source, target, relation)
