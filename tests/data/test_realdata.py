"""Public data sets, from the folder named by GRAPHREC_DATA: their published counts, exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graphrec.data import Dataset, Part, build_dataset, check_dataset, read_dataset

pytestmark = pytest.mark.realdata


def folder(name: str) -> Path:
    path = Path(os.environ["GRAPHREC_DATA"]) / name
    if not path.is_dir():
        pytest.skip(f"{path} is not there")
    return path


def counts(data: Dataset) -> tuple[int, int, int, int]:
    """Users, items, train and test entries."""
    test = int((data.interactions.part == Part.TEST).sum())
    return data.num_users, data.num_items, len(data.interactions) - test, test


def test_gowalla() -> None:
    data = read_dataset(folder("gowalla"))
    assert counts(data) == (29_858, 40_981, 810_128, 217_242)
    user, item = data.interactions.select(Part.TEST)
    first = Path(folder("gowalla") / "test.txt").read_text().split("\n", 1)[0].split()
    assert sorted(data.items.names(item[user == 0]), key=int) == sorted(first[1:], key=int)
    assert data.items.names([40_980]).tolist() == ["40980"]


def test_yelp2018() -> None:
    assert counts(read_dataset(folder("yelp2018"))) == (31_668, 38_048, 1_237_259, 324_147)


def test_lastfm_with_knowledge() -> None:
    data = read_dataset(folder("lastfm-kgcn"))
    users, items, train, test = counts(data)
    assert (users, items, train + test, data.num_items + data.num_entities) == (1_872, 3_846, 21_173, 9_366)
    assert len(data.knowledge) == 15_518 and len(data.knowledge.relations) == 60
    assert "film.actor.film" in data.knowledge.relations
    assert int((data.knowledge.head == data.knowledge.tail).sum()) == 49
    assert len(data.negatives) == data.source["negatives"] == 21_173 and data.source["both_labels"] == 0
    parts = [np.bincount(rows.part, minlength=4).tolist() for rows in (data.interactions, data.negatives)]
    assert parts[0] == parts[1]  # each user has as many rows of label 0 as of label 1
    size = data.num_items
    used, unused = (rows.user.astype(np.int64) * size + rows.item for rows in (data.interactions, data.negatives))
    assert not np.intersect1d(used, unused).size


def test_amazon_beauty_with_knowledge() -> None:
    data = read_dataset(folder("amazon-beauty-kg"))
    assert counts(data) == (22_363, 12_101, 149_844, 48_658)
    assert (
        check_dataset(data)["knowledge"]["unlinked_entities"] == 50_769
        and check_dataset(data)["cold_items"]["count"] == 1
    )
    assert data.interactions.timestamp is not None and (data.interactions.timestamp >= 0).all()
    assert data.num_items + data.num_entities == 179_147 and len(data.knowledge) == 1_115_330
    assert data.knowledge.relations == ("produced_by", "belongs_to", "also_bought", "also_viewed", "bought_together")
    assert data.node_name(data.num_users + data.num_items) == "COKA"


def test_lastfm_with_trust(tmp_path: Path) -> None:
    source = folder("lastfm")
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "datasets" / "prepare_lastfm.py"), str(source), str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(root)})
    data = read_dataset(
        source / "data1.txt",
        test=source / "test1.txt",
        header=["user_id", "item_id", "weight"],
        delimiter="\t",
        knowledge=tmp_path / "knowledge.csv",
    )
    users = set(data.users.names(np.unique(data.interactions.user)))
    assert (len(users), data.num_items) == (1_880, 4_489)
    assert counts(data)[2:] == (42_135, 10_533) and len(data.knowledge) == 25_434
    assert data.interactions.weight is not None and np.float32(3.2466e5) in data.interactions.weight
    found = check_dataset(data)
    assert (found["test_users_without_train"], found["cold_items"]["count"]) == (2, 13)


def test_movielens() -> None:
    source = folder("ml-latest-small")
    renamed = {"user_id": "userId", "item_id": "movieId"}
    data = read_dataset(source / "ratings.csv", columns=renamed, split="last")
    assert (data.num_users, data.num_items, len(data.interactions)) == (671, 9_066, 100_004)
    titled = read_dataset(source / "ratings.csv", items=source / "movies.csv", columns=renamed)
    movies = pd.read_csv(source / "movies.csv", dtype=str).set_index("movieId")["title"]
    assert titled.item_title(int(titled.items.index(["11"])[0])) == movies["11"] == "American President, The (1995)"


def test_movielens_in_the_forms_of_others(tmp_path: Path) -> None:
    source = folder("ml-latest-small")
    ratings = pd.read_csv(source / "ratings.csv", dtype=str)
    movies = pd.read_csv(source / "movies.csv", dtype=str)
    renamed = {"user_id": "userId", "item_id": "movieId"}
    expected = read_dataset(source / "ratings.csv", items=source / "movies.csv", columns=renamed).fingerprint()
    atomic, colons = tmp_path / "ml", tmp_path / "dat"
    atomic.mkdir()
    colons.mkdir()
    typed = ratings.set_axis(["user_id:token", "item_id:token", "rating:float", "timestamp:float"], axis=1)
    typed.to_csv(atomic / "ml.inter", sep="\t", index=False)
    typed = movies.set_axis(["item_id:token", "title:token_seq", "genres:token_seq"], axis=1)
    typed.to_csv(atomic / "ml.item", sep="\t", index=False)
    assert read_dataset(atomic).fingerprint() == expected
    for name, table in {"ratings": ratings, "movies": movies}.items():
        lines = table.agg("::".join, axis=1)
        (colons / f"{name}.dat").write_text("\n".join(lines) + "\n", encoding="utf-16")
    assert read_dataset(colons, encoding="utf-16").fingerprint() == expected


def test_book_crossing() -> None:
    data = read_dataset(folder("book-crossing-kg"))
    assert (data.num_users, data.num_items, data.num_items + data.num_entities) == (17_860, 14_967, 77_903)
    assert len(data.interactions) == len(data.negatives) == data.source["negatives"] == 139_746 // 2
    assert len(data.knowledge) == 151_500 and len(data.knowledge.relations) == 25
    assert int((np.bincount(data.interactions.user) == 1).sum()) == 11_091


def test_groceries() -> None:
    source = folder("grocery-rechorus")
    listed = pd.read_csv(source / "item_meta.csv", sep="\t", dtype=str)
    facts = listed.melt("item_id", ["r_complement", "r_substitute"], "relation", "tail").rename(
        columns={"item_id": "head"}
    )
    facts = facts.assign(tail=facts["tail"].map(json.loads)).explode("tail").dropna()
    data = read_dataset(
        source / "train.csv", columns={"timestamp": "time"}, delimiter="\t", knowledge=facts.astype(str), split="last"
    )
    assert (data.num_users, data.num_items, len(data.interactions)) == (14_681, 8_687, 121_892)
    assert len(data.knowledge) == 373_377 and listed["i_category"].nunique() == 57


def test_yelp_in_time_order() -> None:
    data = read_dataset(folder("yelp-seq"))
    assert (data.num_users, data.num_items, data.source["rows"]["interactions"]) == (30_431, 20_033, 316_354)
    assert data.source["split"] == "last" and data.users.names([0]).tolist() == ["1"]
    assert int(data.interactions.count.sum()) == 316_354


def test_ratings_past_memory_are_those_read_in_memory(tmp_path: Path) -> None:
    ratings, items = (folder("ml-latest-small") / f"{name}.csv" for name in ("ratings", "movies"))
    columns = {"user_id": "userId", "item_id": "movieId"}
    options = {"items": items, "columns": columns, "split": "time", "seed": 1}
    small = read_dataset(ratings, **options)
    large = build_dataset(ratings, tmp_path / "graph", memory="2GB", **options)
    assert small.fingerprint() == large.fingerprint()
