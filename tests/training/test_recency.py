"""How much newer items count is read off held-out rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import graphrec
from graphrec.data import Dataset, Part
from graphrec.training import choice, choose, choose_recency
from graphrec.training.recency import MAX_ROWS


def drifting(seed: int, split: str) -> Dataset:
    """People whose taste moves on: of 12 kinds of items they use some of one kind, then of another, and so on."""
    draws, rows = np.random.default_rng(seed), []
    for user in range(300):
        kinds = draws.permutation(12)[:4]
        items = np.concatenate([kind * 25 + draws.permutation(25)[:5] for kind in kinds])
        rows += [(f"u{user}", f"i{item}", time) for time, item in enumerate(items)]
    return graphrec.read_dataset(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]), split=split, seed=1)


def test_where_taste_moves_on_newer_items_count_more() -> None:
    assert choose_recency(drifting(1, "last")) >= 0.5


def test_test_rows_are_not_read() -> None:
    data = drifting(1, "last")
    rows = data.interactions
    test = rows.part == Part.TEST
    other = replace(rows, item=np.where(test, rows.item[::-1], rows.item))
    assert choose_recency(replace(data, interactions=other)) == choose_recency(data)


def test_where_there_is_nothing_to_choose_by_all_items_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    data = drifting(1, "last")
    assert choose_recency(replace(data, interactions=replace(data.interactions, timestamp=None))) == 0
    unjudged = replace(
        data.interactions, part=np.where(data.interactions.part == Part.SELECT, 0, data.interactions.part)
    )
    assert choose_recency(replace(data, interactions=unjudged)) == 0
    monkeypatch.setattr("graphrec.training.recency.MAX_ROWS", 100)
    assert choose_recency(data) == 0 and MAX_ROWS > 100


def test_what_is_proposed_takes_it_and_what_is_given_stays() -> None:
    data = drifting(1, "last")
    recency = choose_recency(data)
    clock = iter(np.arange(1e6) * 1e-4).__next__
    models = choose(data, minutes=10, clock=clock).config.models
    assert {models[view].recency for view in choice.RECENT if view in models} == {recency}
    assert models["history-sequence"].recency == 0
    given = choose(data, {"models": {"item_knn": {"recency": 0.25}}}, minutes=10, clock=clock).config.models
    assert given["item_knn"].recency == 0.25 and given["spectral"].recency == recency
    named = choose(data, minutes=10, clock=clock, model="item_knn").config.models
    assert named["item_knn"].recency == 0


def test_users_keep_their_vectors_where_data_are_dense_or_recency_is_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    data = drifting(1, "last")
    clock = iter(np.arange(1e6) * 1e-4).__next__
    for dense, strong, expected in ((0.0, 0.25, 0.0), (1.1, 0.25, choose_recency(data)), (1.1, 9.0, 0.0)):
        monkeypatch.setattr(choice, "DENSE", dense)
        monkeypatch.setattr(choice, "STRONG", strong)
        assert choose(data, minutes=10, clock=clock).config.models["lightgcn"].recency == expected
