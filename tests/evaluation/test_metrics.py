from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score
from torch import Tensor
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from graphrec.errors import UsageError
from graphrec.evaluation import metrics as m
from graphrec.ranking import topk_rows
from graphrec.sparse import CSR


def relevant_csr(lists: list[list[int]], num_items: int) -> CSR:
    row = np.repeat(np.arange(len(lists)), [len(own) for own in lists])
    col = np.array([item for own in lists for item in own], np.int64)
    return CSR.from_pairs(row, col, len(lists), num_items)


def accuracy(ranked: Tensor, relevant: CSR, k: int) -> dict[str, Tensor]:
    hits = m.hit_matrix(ranked, relevant)
    return {
        "recall": m.recall(hits, relevant.degree, k),
        "precision": m.precision(hits, k),
        "f1": m.f1(hits, relevant.degree, k),
        "ndcg": m.ndcg(hits, relevant.degree, k),
        "map": m.average_precision(hits, relevant.degree, k),
        "mrr": m.reciprocal_rank(hits, k),
        "hit_rate": m.hit_rate(hits, k),
    }


def by_definition(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """Each metric as its text says, one user at a time."""
    hit_ranks = [place + 1 for place, item in enumerate(ranked[:k]) if item in relevant]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    precision, recall = len(hit_ranks) / k, len(hit_ranks) / len(relevant)
    precisions = [(number + 1) / rank for number, rank in enumerate(hit_ranks)]
    return {
        "recall": recall,
        "precision": precision,
        "f1": 2 * precision * recall / (precision + recall) if hit_ranks else 0.0,
        "ndcg": sum(1 / math.log2(rank + 1) for rank in hit_ranks) / ideal,
        "map": sum(precisions) / min(k, len(relevant)),
        "mrr": 1 / hit_ranks[0] if hit_ranks else 0.0,
        "hit_rate": float(bool(hit_ranks)),
    }


def test_one_user_by_hand() -> None:
    # relevant 1, 4 and 7; shown 4, 0, 1, 2: hits at ranks 1 and 3
    found = accuracy(torch.tensor([[4, 0, 1, 2]]), relevant_csr([[1, 4, 7]], 9), 4)
    expected = {
        "recall": 2 / 3,
        "precision": 2 / 4,
        "f1": 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4),
        "ndcg": (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2),
        "map": (1 / 1 + 2 / 3) / 3,
        "mrr": 1.0,
        "hit_rate": 1.0,
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)


def test_more_relevant_than_places() -> None:
    found = accuracy(torch.tensor([[0, 1]]), relevant_csr([[0, 1, 2, 3, 4]], 5), 2)
    assert found["recall"].item() == 2 / 5  # over |relevant|
    assert found["ndcg"].item() == 1.0  # over the ideal of 2 places
    assert found["map"].item() == 1.0


def test_k_beyond_the_list_counts_missing_places_as_misses() -> None:
    found = accuracy(torch.tensor([[2, 0, -1]]), relevant_csr([[0, 1]], 3), 10)
    assert found["precision"].item() == 1 / 10
    assert found["recall"].item() == 1 / 2
    assert found["ndcg"].item() == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_empty_lists_and_nobody() -> None:
    nothing = accuracy(torch.full((1, 3), -1), relevant_csr([[0]], 4), 3)
    assert all(value.tolist() == [0.0] for value in nothing.values())
    no_places = accuracy(torch.empty(1, 0, dtype=torch.int64), relevant_csr([[0]], 4), 3)
    assert all(value.tolist() == [0.0] for value in no_places.values())
    nobody = accuracy(torch.empty(0, 3, dtype=torch.int64), relevant_csr([], 4), 3)
    assert all(len(value) == 0 for value in nobody.values())
    assert not m.hit_matrix(torch.tensor([[0, 1]]), relevant_csr([[]], 4)).any()


def test_wrong_calls() -> None:
    with pytest.raises(UsageError, match="as many rows, got 1 and 2"):
        m.hit_matrix(torch.tensor([[0]]), relevant_csr([[0], [1]], 2))
    with pytest.raises(UsageError, match="k must be >= 1, got 0"):
        m.precision(torch.tensor([[True]]), 0)


cases = st.integers(1, 12).flatmap(
    lambda num_items: st.lists(
        st.tuples(st.permutations(range(num_items)), st.sets(st.integers(0, num_items - 1), min_size=1)),
        min_size=1,
        max_size=6,
    )
)


@settings(max_examples=150)
@given(case=cases, k=st.integers(1, 15))
def test_agrees_with_the_definition(case: list[tuple[list[int], set[int]]], k: int) -> None:
    num_items = len(case[0][0])
    ranked = torch.tensor([order[:k] for order, _ in case])
    found = accuracy(ranked, relevant_csr([sorted(own) for _, own in case], num_items), k)
    for row, (order, own) in enumerate(case):
        assert {name: value[row].item() for name, value in found.items()} == pytest.approx(by_definition(order, own, k))


@settings(max_examples=60)
@given(case=cases, k=st.integers(1, 12), data=st.data())
def test_order_of_users_does_not_matter(case: list[tuple[list[int], set[int]]], k: int, data: st.DataObject) -> None:
    num_items = len(case[0][0])
    shuffled = data.draw(st.permutations(range(len(case))))

    def values(rows: list[int]) -> dict[str, Tensor]:
        ranked = torch.tensor([case[row][0] for row in rows])
        return accuracy(ranked, relevant_csr([sorted(case[row][1]) for row in rows], num_items), k)

    first, second = values(list(range(len(case)))), values(shuffled)
    assert all(torch.equal(first[name][shuffled], second[name]) for name in first)


@settings(max_examples=60)
@given(case=cases)
def test_longer_lists_never_lower_recall_and_an_earlier_hit_never_hurts(case: list[tuple[list[int], set[int]]]) -> None:
    order, own = case[0]
    num_items = len(order)
    relevant = relevant_csr([sorted(own)], num_items)
    ranked = torch.tensor([order])
    by_k = [accuracy(ranked, relevant, k) for k in range(1, num_items + 1)]
    for name in ("recall", "mrr", "hit_rate"):
        values = [found[name].item() for found in by_k]
        assert values == sorted(values)
    assert by_k[-1]["recall"].item() == 1.0
    better = sorted(order, key=lambda item: item not in own)
    for k, found in enumerate(by_k, start=1):
        best = accuracy(torch.tensor([better]), relevant, k)
        assert all(best[name].item() >= value.item() - 1e-12 for name, value in found.items())
        assert best["ndcg"].item() == pytest.approx(1.0)


@pytest.mark.parametrize("k", [1, 5, 20, 60])
def test_agrees_with_torchmetrics_and_scikit_learn(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    scores = torch.rand(30, 60, generator=generator) + 0.1  # torchmetrics drops what is not positive
    labels = torch.rand(30, 60, generator=generator) < 0.15
    labels[:, 0] = True
    row, col = labels.nonzero().T
    found = accuracy(topk_rows(scores, k)[1], CSR.from_pairs(row, col, 30, 60), k)
    judges = {
        "recall": retrieval_recall,
        "precision": retrieval_precision,
        "mrr": retrieval_reciprocal_rank,
        "hit_rate": retrieval_hit_rate,
        "ndcg": retrieval_normalized_dcg,
    }
    for name, judge in judges.items():
        expected = [float(judge(scores[u], labels[u], top_k=k)) for u in range(30)]
        assert found[name].tolist() == pytest.approx(expected, rel=1e-5)
    ndcg = [ndcg_score(labels[u : u + 1].int().numpy(), scores[u : u + 1].numpy(), k=k) for u in range(30)]
    assert found["ndcg"].tolist() == pytest.approx(ndcg)
    if k == 60:
        expected = [average_precision_score(labels[u].numpy(), scores[u].numpy()) for u in range(30)]
        assert found["map"].tolist() == pytest.approx(expected)


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_agrees_with_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = torch.tensor([float(score) for score, _ in pairs]), torch.tensor([label for _, label in pairs])
    if labels.all() or not labels.any():
        with pytest.raises(UsageError, match="auc needs both labels"):
            m.auc(scores, labels)
    else:
        assert m.auc(scores, labels) == pytest.approx(roc_auc_score(labels.numpy(), scores.numpy()))


def test_exposure_coverage_and_gini_by_hand() -> None:
    shown = m.exposure(torch.tensor([[0, 1], [0, -1]]), 4)
    assert shown.tolist() == [2, 1, 0, 0]
    assert m.coverage(shown) == 2 / 4
    # rising 0 0 1 2 with weights -3 -1 1 3, over 4 · 3
    assert m.gini(shown) == pytest.approx((1 * 1 + 3 * 2) / (4 * 3))
    assert m.gini(torch.tensor([5, 5, 5])) == pytest.approx(0.0)
    assert m.gini(torch.tensor([0, 0])) == 0.0


@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any))
def test_gini_is_half_the_relative_mean_difference(values: list[int]) -> None:
    difference = sum(abs(a - b) for a in values for b in values)
    assert m.gini(torch.tensor(values)) == pytest.approx(difference / (2 * len(values) * sum(values)))


def test_novelty_by_hand() -> None:
    popularity = torch.tensor([8, 2, 0])
    found = m.novelty(torch.tensor([[0, 1], [2, -1], [-1, -1]]), popularity, 8)
    assert found.tolist() == pytest.approx([(0 + 2) / 2, 3, 0])  # log2(8/8), log2(8/2); item 2 counts as used by one


def test_popularity_bias_by_hand() -> None:
    popularity = torch.tensor([3, 1, 0])
    found = m.popularity_bias(torch.tensor([[0, 1], [0, -1], [2, -1], [-1, -1]]), popularity)
    typical = (3 * 3 + 1 * 1) / (3 + 1)
    assert found.tolist() == pytest.approx([2 / typical, 3 / typical, 0, 0])
    assert m.popularity_bias(torch.tensor([[0]]), torch.tensor([0])).tolist() == [0.0]


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000))
def test_diversity_agrees_with_all_pairs(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    used = torch.rand(7, 5, generator=generator) < 0.4  # item by user
    row, col = used.nonzero().T
    ranked = torch.stack([torch.randperm(7, generator=generator)[:4] for _ in range(6)])
    ranked[0, 2:], ranked[1, 1:], ranked[2] = -1, -1, -1
    found = m.diversity(ranked, CSR.from_pairs(row, col, 7, 5))
    unit = torch.nn.functional.normalize(used.double(), dim=1)
    for items, value in zip(ranked.tolist(), found.tolist(), strict=True):
        own = [item for item in items if item >= 0]
        pairs = [1 - float(unit[a] @ unit[b]) for place, a in enumerate(own) for b in own[:place]]
        assert value == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.0)
