"""The generated bookshop: the same again for a seed, and knowledge worth having."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graphrec.data import Dataset, Part, read_dataset
from graphrec.data.synthetic import generate, main, oracle_recall
from graphrec.errors import UsageError

TABLES = ("interactions", "knowledge", "items", "users")


def recall(scores: np.ndarray, data: Dataset, k: int = 20) -> float:
    """Recall@k for one test item a user, train rows masked."""
    scores = scores.copy()
    scores[data.interactions.select(Part.FIT, Part.SELECT, Part.BLEND)] = -np.inf
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    user, item = data.interactions.select(Part.TEST)
    return float((top[user] == item[:, None]).any(axis=1).mean())


def incidence(data: Dataset) -> np.ndarray:
    matrix = np.zeros((data.num_users, data.num_items))
    matrix[data.interactions.select(Part.FIT, Part.SELECT, Part.BLEND)] = 1
    return matrix


def traits(data: Dataset) -> np.ndarray:
    """Items by entities, each entity's column scaled to length one."""
    matrix = np.zeros((data.num_items, data.num_entities))
    graph = data.knowledge
    matrix[graph.head - data.num_users, graph.tail - data.num_users - data.num_items] = 1
    return matrix / np.sqrt(matrix.sum(axis=0))


def test_a_seed_always_gives_the_same_tables() -> None:
    first, again, other = generate(3, 40, 50), generate(3, 40, 50), generate(4, 40, 50)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    assert not first.interactions.equals(other.interactions)
    np.testing.assert_array_equal(first.preference, again.preference)


def test_the_tables_are_a_plausible_shop() -> None:
    world = generate()
    assert len(set(world.user_ids)) == len(world.users) and len(set(world.item_ids)) == len(world.items)
    assert world.items["title"].is_unique and {"alice", "bob2"} <= set(world.user_ids)
    assert not world.interactions.duplicated(["user_id", "item_id"]).any()
    assert not world.knowledge.duplicated().any()
    assert 12_000 <= len(world.interactions) <= 25_000
    readers = world.interactions["item_id"].value_counts()
    assert readers.max() > 3 * readers.median()
    favourite = world.item_ids[int(np.argmax(world.preference[0]))]
    read = set(world.interactions.query("user_id == 'alice'")["item_id"])
    assert "i9" not in read and (favourite == "i9" or favourite in read)


def test_knowledge_shows_what_reading_alone_does_not() -> None:
    world = generate(seed=1)
    data = read_dataset(world.interactions, knowledge=world.knowledge, split="last")
    seen, attribute = incidence(data), traits(data)
    popular = recall(np.tile(seen.sum(axis=0), (data.num_users, 1)), data)
    unit = seen / np.sqrt(np.maximum(seen.sum(axis=0), 1))
    cosine = unit.T @ unit
    np.fill_diagonal(cosine, 0)
    neighbours, linked = recall(seen @ cosine, data), recall(seen @ attribute @ attribute.T, data)
    assert popular < neighbours < linked < oracle_recall(world, data)
    assert oracle_recall(world, data) > 2 * neighbours


def test_the_oracle_is_counted_by_hand() -> None:
    world = generate(3, 40, 50)
    data = read_dataset(world.interactions, split="last")
    order = [world.item_ids.index(name) for name in data.items.names(np.arange(data.num_items))]
    people = [world.user_ids.index(name) for name in data.users.names(np.arange(data.num_users))]
    assert oracle_recall(world, data, k=5) == recall(world.preference[people][:, order], data, k=5)


def test_too_small_a_world_is_refused() -> None:
    with pytest.raises(UsageError, match="must be >= 20, got 5 and 800"):
        generate(num_users=5)


def test_the_sample_in_the_repository_is_what_the_command_writes(tmp_path: Path, sample: Path) -> None:
    main([str(tmp_path), "--seed", "7"])
    for name in TABLES:
        assert (tmp_path / f"{name}.csv").read_bytes() == (sample / f"{name}.csv").read_bytes()
    assert sum(path.stat().st_size for path in sample.glob("*.csv")) < 1_000_000
