from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphrec.data import Part, read_dataset
from graphrec.errors import DataError, UsageError
from graphrec.evaluation import Evaluation, evaluate, keep_rare
from graphrec.graph import build_graph
from graphrec.sparse import CSR


def csr(pairs: list[tuple[int, int]], num_rows: int, num_cols: int) -> CSR:
    row, col = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return CSR.from_pairs(row, col, num_rows, num_cols)


def of_matrix(used: Tensor) -> CSR:
    row, col = used.nonzero().T
    return CSR.from_pairs(row, col, *used.shape)


def judge(scores: Tensor, train: CSR, test: CSR, **options: object) -> Evaluation:
    return evaluate(lambda users: scores[users], train=train, test=test, **options)


def test_by_hand() -> None:
    # user 0 trained on 0: shown 3, 1; tests 1 and 2. user 1 trained on 1: shown 0, 2; tests 0.
    # user 2 has no test item, user 3 no training row, user 4 neither.
    train, test = csr([(0, 0), (1, 1), (2, 1)], 5, 4), csr([(0, 1), (0, 2), (1, 0), (3, 3)], 5, 4)
    scores = torch.tensor([[9.0, 2.0, 1.0, 3.0], [5.0, 8.0, 4.0, 3.0], *[[0.0] * 4] * 3])
    found = judge(scores, train, test, ks=[2])
    assert found.per_user["user_index"].tolist() == [0, 1]
    assert (found.num_users, found.num_left_out, found.num_unknown) == (2, 3, 1)
    ideal = 1 + 1 / math.log2(3)
    per_user = {
        "recall@2": [1 / 2, 1 / 1],
        "ndcg@2": [1 / math.log2(3) / ideal, 1.0],
        "precision@2": [1 / 2, 1 / 2],
        "f1@2": [2 / 4, 2 / 3],
        "map@2": [(1 / 2) / 2, 1.0],
        "mrr@2": [1 / 2, 1.0],
        "hit_rate@2": [1.0, 1.0],
        # training users by item 1, 2, 0, 0 among 3: items 3 and 0 besides 1 and 2
        "novelty@2": [(math.log2(3) + math.log2(3 / 2)) / 2, math.log2(3)],
        "popularity_bias@2": [(0 + 2) / 2 / (5 / 3), (1 + 0) / 2 / (5 / 3)],
        "diversity@2": [1.0, 1.0],
    }
    assert list(found.per_user.columns) == ["user_index", *per_user]
    for name, values in per_user.items():
        assert found.per_user[name].tolist() == pytest.approx(values), name
        assert found.metrics[name] == pytest.approx(sum(values) / 2), name
    assert found.metrics["coverage@2"] == 4 / 4
    assert found.metrics["gini@2"] == pytest.approx(0.0)


def test_held_out_item_that_was_trained_on_counts_and_is_never_hit() -> None:
    found = judge(torch.tensor([[3.0, 2.0, 1.0]]), csr([(0, 0)], 1, 3), csr([(0, 0), (0, 1)], 1, 3), ks=[3])
    assert found.metrics["recall@3"] == 1 / 2


def test_user_with_every_item_gets_an_empty_list() -> None:
    train, test = csr([(0, 0), (0, 1), (1, 0)], 2, 2), csr([(0, 1), (1, 1)], 2, 2)
    found = judge(torch.zeros(2, 2), train, test, ks=[1])
    assert found.per_user["recall@1"].tolist() == [0.0, 1.0]
    assert found.per_user["diversity@1"].tolist() == [0.0, 0.0]
    assert all(math.isfinite(value) for value in found.metrics.values())


def test_allowed_items_alone_are_shown_and_counted() -> None:
    allowed = torch.tensor([False, True, True, False])
    found = judge(
        torch.tensor([[4.0, 3.0, 2.0, 1.0]]), csr([(0, 3)], 1, 4), csr([(0, 0)], 1, 4), ks=[1], allowed=allowed
    )
    assert found.metrics["recall@1"] == 0.0
    assert found.metrics["coverage@1"] == 1 / 2


def test_all_scores_equal_and_negative() -> None:
    train, test = csr([(0, 1)], 1, 5), csr([(0, 2)], 1, 5)
    for scores in (torch.full((1, 5), -7.0), -torch.arange(5.0)[None] - 1):
        assert judge(scores, train, test, ks=[2, 9]).metrics["mrr@2"] == 1 / 2  # shown 0, 2


def test_wrong_calls() -> None:
    one = csr([(0, 0)], 1, 2)
    with pytest.raises(DataError, match="no user can be judged: of 2 none"):
        judge(torch.zeros(2, 2), csr([(0, 0)], 2, 2), csr([(1, 0)], 2, 2))
    with pytest.raises(UsageError, match=r"one shape, got \(1, 2\) and \(2, 2\)"):
        judge(torch.zeros(1, 2), one, csr([], 2, 2))
    for ks in ([], [0, 5]):
        with pytest.raises(UsageError, match="ks must hold numbers >= 1"):
            judge(torch.zeros(1, 2), one, one, ks=ks)
    with pytest.raises(UsageError, match="got 1 repeated"):
        judge(torch.zeros(1, 2), one, csr([(0, 1), (0, 1)], 1, 2))


def one_by_one(scores: Tensor, train: Tensor, test: Tensor, k: int) -> dict[int, tuple[float, float]]:
    """Recall and NDCG of each user, as the protocol says, in plain Python."""
    values = {}
    for user in range(len(scores)):
        own = {item for item, held in enumerate(test[user].tolist()) if held}
        if not own or not train[user].any():
            continue
        open_items = [item for item in range(scores.shape[1]) if not train[user, item]]
        best = sorted(open_items, key=lambda item, user=user: (-scores[user, item].item(), item))[:k]
        gains = [item in own for item in best]
        dcg = sum(hit / math.log2(place + 2) for place, hit in enumerate(gains))
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(own))))
        values[user] = sum(gains) / len(own), dcg / ideal
    return values


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 15))
def test_agrees_with_one_user_at_a_time(seed: int, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-9, -4, (9, 12), generator=generator).float()
    train, test = (torch.rand(9, 12, generator=generator) < 0.2 for _ in range(2))
    expected = one_by_one(scores, train, test, k)
    if not expected:
        return
    found = judge(scores, of_matrix(train), of_matrix(test), ks=[k], block_size=4).per_user
    assert found["user_index"].tolist() == list(expected)
    assert found[f"recall@{k}"].tolist() == pytest.approx([recall for recall, _ in expected.values()])
    assert found[f"ndcg@{k}"].tolist() == pytest.approx([ndcg for _, ndcg in expected.values()])


def test_several_ks_are_the_single_ones() -> None:
    generator = torch.Generator().manual_seed(4)
    scores = torch.randn(20, 30, generator=generator)
    train, test = (of_matrix(torch.rand(20, 30, generator=generator) < 0.2) for _ in range(2))
    together = judge(scores, train, test, ks=(10, 3, 10)).metrics
    alone = judge(scores, train, test, ks=(3,)).metrics | judge(scores, train, test, ks=(10,)).metrics
    assert together == alone


@pytest.mark.gpu
def test_scores_on_a_gpu() -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(20, 30, generator=generator)
    train, test = (of_matrix(torch.rand(20, 30, generator=generator) < 0.2) for _ in range(2))
    expected = judge(scores, train, test).metrics
    assert judge(scores.cuda(), train.to("cuda"), test.to("cuda")).metrics == pytest.approx(expected)
    mixed = evaluate(lambda users: scores.cuda()[users.cuda()], train=train.to("cuda"), test=test)
    assert mixed.metrics == pytest.approx(expected)


@pytest.mark.realdata
def test_most_popular_on_gowalla() -> None:
    data = read_dataset(Path(os.environ["GRAPHREC_DATA"]) / "gowalla")
    train = build_graph(data, (Part.FIT, Part.SELECT, Part.BLEND)).seen
    test = CSR.from_pairs(*data.interactions.select(Part.TEST), data.num_users, data.num_items)
    popularity = train.transpose[0].degree.float()
    found = evaluate(lambda users: popularity.expand(len(users), -1), train=train, test=test, ks=[20])
    assert found.metrics["recall@20"] == pytest.approx(0.0416, abs=5e-5)
    assert found.metrics["ndcg@20"] == pytest.approx(0.0317, abs=5e-5)
    assert (found.num_users, found.num_left_out) == (29_858, 0)


def test_rare_items_by_hand() -> None:
    # item 0 has two training rows, item 1 one, item 2 none
    train = csr([(0, 0), (1, 0), (2, 1)], 3, 3)
    test = csr([(0, 1), (0, 2), (1, 1), (2, 0)], 3, 3)
    assert keep_rare(test, train, below=1).degree.tolist() == [1, 0, 0]
    assert keep_rare(test, train, below=2).degree.tolist() == [2, 1, 0]
    assert keep_rare(test, train, below=3).col.tolist() == [1, 2, 1, 0]


def test_rare_items_are_ranked_among_all_items() -> None:
    train, test = csr([(0, 0), (1, 0)], 2, 3), csr([(0, 2), (1, 1)], 2, 3)
    scores = torch.tensor([[0.0, 3.0, 2.0], [0.0, 2.0, 3.0]])
    rare = evaluate(lambda users: scores[users], train=train, test=keep_rare(test, train, below=1), ks=[1])
    assert rare.metrics["recall@1"] == 0 and rare.num_users == 2


def test_rare_items_of_another_catalogue_are_refused() -> None:
    with pytest.raises(UsageError, match="one shape"):
        keep_rare(csr([], 2, 3), csr([], 2, 4), below=1)
