"""AUC over labelled pairs: by hand, against scikit-learn, and as people ask for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import graphrec
from graphrec.comparison import evaluate_runs
from graphrec.data import Dataset, Pairs, Part
from graphrec.errors import TrainingError
from graphrec.evaluation import evaluate, pair_scores
from graphrec.evaluation.pairs import labelled_auc
from graphrec.report import write_report
from graphrec.sparse import CSR


def csr(pairs: list[tuple[int, int]], num_rows: int, num_cols: int) -> CSR:
    row, col = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return CSR.from_pairs(row, col, num_rows, num_cols)


def test_by_hand_over_the_pairs_of_all_users() -> None:
    scores = torch.tensor([[9.0, 3.0, 1.0, 5.0], [2.0, 4.0, 3.0, 0.0]])
    train, test = csr([(0, 0), (1, 0)], 2, 4), csr([(0, 1), (1, 1)], 2, 4)  # scored 3 and 4
    negatives = csr([(0, 3), (1, 2), (1, 3)], 2, 4)  # scored 5, 3 and 0
    found = evaluate(lambda users: scores[users], train=train, test=test, ks=[1], negatives=negatives)
    # 3 against 5, 3, 0: 0 + ½ + 1; 4 against them: 0 + 1 + 1. User by user it would be (0 + 2 / 2) / 2
    assert found.metrics["auc"] == pytest.approx((0 + 1 / 2 + 1 + 0 + 1 + 1) / (2 * 3))
    assert "auc" not in found.per_user


def test_lists_are_judged_as_without_them() -> None:
    scores = torch.rand(5, 6, generator=torch.Generator().manual_seed(1))
    train, test = csr([(u, u) for u in range(5)], 5, 6), csr([(u, u + 1) for u in range(5)], 5, 6)
    alone = evaluate(lambda users: scores[users], train=train, test=test)
    for negatives in (csr([], 5, 6), csr([(0, 3)], 5, 6)):
        found = evaluate(lambda users: scores[users], train=train, test=test, negatives=negatives)
        assert found.per_user.equals(alone.per_user)
        assert {name: value for name, value in found.metrics.items() if name != "auc"} == alone.metrics
        assert ("auc" in found.metrics) == bool(negatives.num_edges)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 400), st.integers(2, 30))
def test_agrees_with_scikit_learn_on_users_in_many_blocks(seed: int, num_users: int, num_items: int) -> None:
    generator = np.random.default_rng(seed)
    scores = torch.from_numpy(generator.integers(0, 6, (num_users, num_items)).astype(np.float32))
    label = generator.random((num_users, num_items))
    label[0, :2] = 0.1, 0.9
    positive, negative = (csr(np.argwhere(kept).tolist(), num_users, num_items) for kept in (label < 0.3, label > 0.6))
    kept = (label < 0.3) | (label > 0.6)
    expected = roc_auc_score(label[kept] < 0.3, scores.numpy()[kept])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graphrec.evaluation.pairs.users_at_once", lambda num_items: 64)
        assert labelled_auc(lambda users: scores[users], positive, negative) == pytest.approx(expected)


def test_pairs_are_scored_each_for_its_user_in_any_order() -> None:
    scores = torch.arange(25_000.0).reshape(5000, 5)
    user, item = torch.tensor([4999, 1, 3, 700, 1, 4999]), torch.tensor([4, 0, 2, 1, 3, 4])
    blocks: list[int] = []

    def score_block(users: torch.Tensor) -> torch.Tensor:
        blocks.append(len(users))
        return scores[users]

    assert pair_scores(score_block, user, item, num_items=5).tolist() == (user * 5 + item).tolist()
    assert blocks == [4]  # nobody else is scored
    assert pair_scores(score_block, user[:0], item[:0], num_items=5).tolist() == []


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores = torch.tensor([[1.0, torch.nan]])
    with pytest.raises(TrainingError, match="1 scores of a block are not a number"):
        labelled_auc(lambda users: scores[users], csr([(0, 0)], 1, 2), csr([(0, 1)], 1, 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 users, 12 items: users of even number like even items, the others odd ones; label 0 is the other kind."""
    generator = np.random.default_rng(2)
    rows = [
        f"{user}\t{item}\t{int(item % 2 == user % 2)}"
        for user in range(20)
        for item in generator.permutation(12)[:10].tolist()
    ]
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "ratings_final.txt").write_text("\n".join(rows) + "\n")
    return tmp_path / "pairs"


def by_hand(recommender: graphrec.Recommender, data: Dataset) -> float:
    """AUC over the test rows, from the scores of pairs under their own ids."""
    scores = []
    for rows in (data.interactions, data.negatives):
        user, item = rows.select(Part.TEST)
        scores.append(recommender.score(data.users.names(user).tolist(), data.items.names(item).tolist()))
    label = np.repeat([1, 0], [len(scores[0]), len(scores[1])])
    return float(roc_auc_score(label, np.concatenate(scores)))


@pytest.mark.parametrize("model", ["popularity", "item_knn", "lightgcn", "fused"])
def test_a_model_is_judged_on_the_test_rows_of_both_labels(folder: Path, model: str) -> None:
    data = graphrec.read_dataset(folder)
    settings = {"epochs": 3, "width": 8} if model in ("lightgcn", "fused") else {}
    recommender = graphrec.train(data, model, **settings)
    found = recommender.evaluate().metrics
    assert found["auc"] == pytest.approx(by_hand(recommender, data), abs=1e-6)
    assert found["auc"] > 0.9 if model == "item_knn" else 0 <= found["auc"] <= 1


def test_training_does_not_see_them(folder: Path) -> None:
    data = graphrec.read_dataset(folder)
    without = replace(data, negatives=Pairs.none())
    scores = []
    for one in (data, without):
        recommender = graphrec.train(one, "lightgcn", epochs=2, width=8, seed=1)
        scores.append(recommender.recommend(k=12, filter_seen=False))
    assert scores[0].equals(scores[1])
    assert "auc" not in recommender.evaluate().metrics


def test_without_test_rows_of_label_0_there_is_no_auc(folder: Path) -> None:
    data = graphrec.read_dataset(folder)
    fit = replace(data.negatives, part=np.full_like(data.negatives.part, Part.FIT))
    assert "auc" not in graphrec.train(replace(data, negatives=fit), "popularity").evaluate().metrics


def test_a_run_folder_says_it_everywhere(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = graphrec.train(graphrec.read_dataset(folder), "item_knn")
    trained.save(run)
    (judged,) = evaluate_runs([run])["runs"]
    found = trained.evaluate().metrics["auc"]
    assert judged["test"]["auc"] == found and set(judged["baselines"]) == {"popularity", "item_knn"}
    stored = json.loads((run / "metrics.json").read_text())
    assert stored["test"]["auc"] == found and 0 <= stored["baselines"]["popularity"]["auc"] <= 1
    write_report(run)
    page = (run / "report.html").read_text()
    row = re.search(r"AUC<small>.*?</tr>", page, re.DOTALL)
    assert row is not None and f"{found:.4f}" in row.group() and "Labelled pairs" in page
