"""The public face: ids in and out, masks, newcomers, likeness, explanations, and the run folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import graphrec
from graphrec.data import Part
from graphrec.errors import DataError, OccupiedError, UnknownIdError, UsageError
from graphrec.training import TRAIN_PARTS
from tests.worlds import small_world

WORLD = small_world()
QUICK = {"epochs": 3, "width": 8, "layers": 1, "batch_size": 128, "seed": 1}


@pytest.fixture(scope="module", params=["popularity", "item_knn", "lightgcn", "gat", "fused"])
def recommender(request: pytest.FixtureRequest) -> graphrec.Recommender:
    trained = request.param not in ("popularity", "item_knn")
    heads = {"heads": 2} if request.param in ("gat", "fused") else {}
    return graphrec.train(WORLD, request.param, **(QUICK | heads if trained else {}))


def seen_by(user: str) -> set[str]:
    users, items = WORLD.interactions.select(*TRAIN_PARTS)
    index = WORLD.users.index([user])[0]
    return set(WORLD.items.names(items[users == index]))


def test_a_list_a_user(recommender: graphrec.Recommender) -> None:
    users = WORLD.users.names(np.array([3, 0, 8])).tolist()
    table = recommender.recommend(users, k=5)
    assert table.columns.tolist() == ["user_id", "item_id", "score", "rank"]
    assert table.user_id.tolist() == [user for user in users for _ in range(5)]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    for user, rows in table.groupby("user_id"):
        assert rows.score.is_monotonic_decreasing
        assert not set(rows.item_id) & seen_by(user)


def test_all_users_by_default(recommender: graphrec.Recommender) -> None:
    table = recommender.recommend(k=1)
    assert table.user_id.tolist() == WORLD.users.names(np.arange(WORLD.num_users)).tolist()


def test_scores_of_pairs_are_those_of_the_lists(recommender: graphrec.Recommender) -> None:
    table = recommender.recommend(["alice", WORLD.users.names(np.array([5]))[0]], k=4).sample(frac=1, random_state=0)
    scores = recommender.score(table.user_id.tolist(), table.item_id.tolist())
    assert np.allclose(scores, table.score, atol=1e-5)


def test_k_beyond_the_catalogue_gives_all_that_can_be_ranked(recommender: graphrec.Recommender) -> None:
    table = recommender.recommend(["alice"], k=10**6)
    assert len(table) == WORLD.num_items - len(seen_by("alice"))
    assert len(recommender.recommend(["alice"], k=10**6, filter_seen=False)) == WORLD.num_items


def test_items_and_exclude(recommender: graphrec.Recommender) -> None:
    wanted = WORLD.items.names(np.arange(10)).tolist()
    table = recommender.recommend(["alice"], k=50, filter_seen=False, items=wanted, exclude=wanted[:3])
    assert set(table.item_id) == set(wanted[3:])


def test_someone_new(recommender: graphrec.Recommender) -> None:
    history = WORLD.items.names(np.array([1, 4])).tolist()
    table = recommender.recommend(history=history, k=6)
    assert len(table) == 6 and table.user_id.isna().all()
    assert not set(history) & set(table.item_id)


def test_unknown_ids_and_bad_calls(recommender: graphrec.Recommender) -> None:
    with pytest.raises(UnknownIdError, match="alcie"):
        recommender.recommend(["alcie"])
    with pytest.raises(UnknownIdError):
        recommender.recommend(history=["no such item"])
    with pytest.raises(UsageError, match="k must be >= 1, got 0"):
        recommender.recommend(["alice"], k=0)
    with pytest.raises(UsageError, match="not both"):
        recommender.recommend(["alice"], history=["i1"])


def test_saved_and_loaded_it_says_the_same(recommender: graphrec.Recommender, tmp_path: Path) -> None:
    recommender.save(tmp_path / "run")
    again = graphrec.load(tmp_path / "run")
    pd.testing.assert_frame_equal(again.recommend(["alice"], k=8), recommender.recommend(["alice"], k=8))
    with pytest.raises(OccupiedError, match="is not empty"):
        recommender.save(tmp_path / "run")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.suffix in (".pkl", ".pt", ".tmp")]


def test_likeness() -> None:
    recommender = graphrec.train(WORLD, "gat", heads=2, **QUICK)
    items = recommender.similar_items(["i3"], k=4)
    assert items.columns.tolist() == ["item_id", "similar_id", "score", "rank"]
    assert len(items) == 4 and "i3" not in set(items.similar_id)
    users = recommender.similar_users(["alice"], k=3)
    assert len(users) == 3 and "alice" not in set(users.similar_id)
    assert items.score.between(-1.001, 1.001).all()


def test_popularity_knows_no_likeness() -> None:
    recommender = graphrec.train(WORLD, "popularity")
    with pytest.raises(UsageError):
        recommender.similar_items(["i3"])
    with pytest.raises(UsageError, match="no user vectors"):
        recommender.similar_users(["alice"])


def test_explaining_in_words() -> None:
    recommender = graphrec.train(WORLD, "gat", heads=2, **QUICK)
    item = recommender.recommend(["alice"], k=1).item_id[0]
    found = recommender.explain("alice", item)
    assert found.score == pytest.approx(recommender.score(["alice"], [item])[0], rel=1e-4)
    for reason in found.reasons:
        assert reason.text.startswith("alice —") and reason.text.endswith(found.title)


def test_evaluate_reads_test_rows_alone() -> None:
    recommender = graphrec.train(WORLD, "popularity")
    result = recommender.evaluate(ks=(20,))
    test_users = np.unique(WORLD.interactions.select(Part.TEST)[0])
    assert result.num_users == len(test_users)
    assert 0 < result.metrics["recall@20"] <= 1


def test_without_test_rows_there_is_nothing_to_evaluate() -> None:
    table = pd.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["x", "x", "y"]})
    data = graphrec.read_dataset(table, split="random")
    recommender = graphrec.train(data, "popularity")
    with pytest.raises(DataError, match="no test rows"):
        recommender.evaluate()


def test_a_history_keeps_the_order_given() -> None:
    trained = graphrec.train(WORLD, "popularity")
    row = trained._history(["i9", "i3", "i9", "i12"])
    assert row.value is not None
    place = dict(zip(trained.dataset.items.names(row.col.numpy()).tolist(), row.value.tolist(), strict=True))
    assert place == {"i3": 1, "i9": 2, "i12": 3}
