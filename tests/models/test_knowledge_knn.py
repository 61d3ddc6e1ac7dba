"""KnowledgeKNN: by hand, against dense TF-IDF, and for items that nobody has used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.models import KnowledgeKNN
from graphrec.models.item_item import ItemItemSettings
from tests.models.items import graph_of, kept_matrix
from tests.worlds import hand_graph


def known_graph(facts: list[tuple[int, int, int]], num_items: int = 4, num_entities: int = 4) -> HeteroGraph:
    """One user, who used item 0; facts are (item, entity, relation 1 or 2)."""
    item, entity, relation = np.array(facts, dtype=np.int64).reshape(-1, 3).T
    source, target = np.append(0, item + 1), np.append(1, entity + 1 + num_items)
    sizes = (1, num_items, num_entities)
    return assemble(sizes, ["interacts", "genre", "actor"], source, target, np.append(0, relation))


def fitted(graph: HeteroGraph, neighbours: int = 200) -> KnowledgeKNN:
    model = KnowledgeKNN(graph, ItemItemSettings(neighbours=neighbours))
    model.fit()
    return model


def test_by_hand() -> None:
    """Items 0 and 1 share a genre; that an entity is genre of one and actor of the other counts for nothing."""
    model = fitted(known_graph([(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 2)]))
    shared, own, alone = np.log(4 / 2), np.log(4), np.log(4)
    expected = shared**2 / (shared**2 + alone**2 + own**2)
    assert model.score_block(torch.tensor([0]))[0].tolist() == pytest.approx([0, expected, 0, 0])


def test_a_fact_of_all_items_says_nothing() -> None:
    assert not kept_matrix(fitted(known_graph([(item, 0, 1) for item in range(4)]))).any()


def test_items_that_nobody_used_are_recommended() -> None:
    """In the hand graph items 1 and 2 share the genre; item 2 has no user."""
    scores = fitted(hand_graph()).score_block(torch.tensor([0, 1]))
    weight = np.log(3 / 2) ** 2 / (np.log(3 / 2) ** 2 + np.log(3) ** 2)
    assert np.allclose(scores, [[0, 0, weight], [0, 0, weight]])


def test_equals_dense_tf_idf() -> None:
    facts = np.argwhere(np.random.default_rng(0).random((12, 9, 2)) < 0.2)
    table = np.zeros((12, 18))
    table[facts[:, 0], facts[:, 1] * 2 + facts[:, 2]] = 1
    facts[:, 2] += 1
    table *= np.log(12 / np.maximum(table.sum(axis=0), 1))
    table = np.hstack([table, np.log(12) * np.eye(12)])
    table /= np.linalg.norm(table, axis=1)[:, None]
    alike = table @ table.T
    np.fill_diagonal(alike, 0)
    assert np.allclose(kept_matrix(fitted(known_graph(facts.tolist(), 12, 9))), alike, atol=1e-6)


def test_keeps_the_nearest_with_ties_to_the_lower_item() -> None:
    kept = kept_matrix(fitted(known_graph([(0, 0, 1), (1, 0, 1), (2, 0, 1), (3, 1, 1)]), neighbours=1))
    assert [column.nonzero()[0].tolist() for column in kept.T] == [[1], [0], [0], []]


def test_knowledge_that_touches_no_item_is_an_obstacle() -> None:
    assert KnowledgeKNN.obstacle(hand_graph(), ItemItemSettings()) is None
    for graph in (graph_of([(0, 0)]), hand_graph(knowledge=False)):
        assert KnowledgeKNN.obstacle(graph, ItemItemSettings()) == "no knowledge touches the items of the data"
