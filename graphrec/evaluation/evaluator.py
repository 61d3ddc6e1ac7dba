"""Full ranking of every item for every user that can be judged, and the metrics of the lists that come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from graphrec.errors import ArrayError, NothingLeftError, SettingError
from graphrec.evaluation import metrics as m
from graphrec.evaluation.pairs import labelled_auc
from graphrec.ranking import entries, rank
from graphrec.sparse import CSR


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one full ranking is worth.

    Attributes:
        metrics: ``name@k`` → mean over the judged users, or the value of all lists together (coverage, gini); ``auc``
            where there are negatives.
        per_user: one row a judged user: ``user_index`` and its value of every metric that has one, for paired tests.
        num_users: users judged.
        num_left_out: users not judged, for want of a test item or of a training row.
        num_unknown: those among them who have test items, but no training row.
    """

    metrics: dict[str, float]
    per_user: pd.DataFrame
    num_users: int
    num_left_out: int
    num_unknown: int


def evaluate(
    score_block: Callable[[Tensor], Tensor],
    *,
    train: CSR,
    test: CSR,
    ks: Sequence[int] = (10, 20),
    allowed: Tensor | None = None,
    block_size: int | None = None,
    negatives: CSR | None = None,
) -> Evaluation:
    """Rank all items that a user has not trained on, and judge the lists against the test items.

    The protocol of LightGCN's and KGIN's code: recall over |test|, the ideal of NDCG over min(k, |test|), equal scores
    to the lower item number. A test item that is also a training item, or not allowed, counts in |test| and is never
    hit.

    Args:
        score_block: user numbers int64 [B] → scores [B, I].
        train: CSR [U, I]; its pairs are left out of the lists, and popularity is counted on it.
        test: CSR [U, I], distinct pairs.
        ks: lengths of the list to judge.
        allowed: bool [I], the items to choose from; all if None.
        block_size: users scored at once; chosen by ``rank`` if None.
        negatives: CSR [U, I] of pairs labelled as no interaction, against which ``auc`` judges those of ``test``.

    Raises:
        DataError: no user can be judged.
        UsageError: shapes, ``ks`` or repeated test pairs.

    >>> import torch
    >>> train = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([0, 1]), 2, 3)
    >>> test = CSR.from_pairs(torch.tensor([0]), torch.tensor([2]), 2, 3)
    >>> scores = torch.tensor([[9.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    >>> result = evaluate(lambda users: scores[users], train=train, test=test, ks=[2])
    >>> result.metrics["recall@2"], result.metrics["mrr@2"], result.num_left_out
    (1.0, 0.5, 1)
    """
    _check(train, test, ks)
    judged = (train.degree > 0) & (test.degree > 0)
    num_unknown = int(((train.degree == 0) & (test.degree > 0)).sum())
    users = judged.nonzero()[:, 0]
    if not len(users):
        raise NothingLeftError(
            f"no user can be judged: of {train.num_rows} none has both a training row and a test item"
        )
    found = rank(
        score_block,
        users,
        max(ks),
        num_items=train.num_cols,
        seen=train,
        allowed=allowed,
        block_size=block_size,
    )
    ranked = found.items.to(test.device)
    offsets, columns = entries(test, users)
    hits = m.hit_matrix(ranked, CSR(offsets, columns, test.num_cols))
    table = {"user_index": users}
    overall: dict[str, float] = {}
    for k in sorted(set(ks)):
        own = _accuracy(hits, offsets.diff(), k) | _beyond_accuracy(ranked, train, k)
        table |= own
        overall |= {name: float(value.mean()) for name, value in own.items()}
        overall |= _catalogue(ranked, allowed, train.num_cols, k)
    if negatives is not None and negatives.num_edges:
        overall["auc"] = labelled_auc(score_block, test, negatives)
    per_user = pd.DataFrame({name: value.cpu().numpy() for name, value in table.items()})
    return Evaluation(overall, per_user, len(users), train.num_rows - len(users), num_unknown)


def keep_rare(test: CSR, train: CSR, *, below: int) -> CSR:
    """The test pairs of rarely used items, to be ranked among all items like any others.

    Args:
        test: CSR [U, I].
        train: CSR [U, I].
        below: an item stays with fewer training rows than this; 1 keeps the items that nobody used.

    Returns:
        CSR [U, I], with ``test``'s other pairs left out. A user may be left without any.

    Raises:
        UsageError: the shapes differ.

    >>> import torch
    >>> train = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([0, 0]), 2, 3)
    >>> test = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 3)
    >>> [keep_rare(test, train, below=below).num_edges for below in (1, 2, 3)]
    [1, 1, 2]
    """
    _check_shapes(train, test)
    popularity = train.transpose[0].degree
    return test.without_edges(popularity[test.col.long()] >= below)


def _check(train: CSR, test: CSR, ks: Sequence[int]) -> None:
    _check_shapes(train, test)
    if not ks or min(ks) < 1:
        raise SettingError(f"ks must hold numbers >= 1, got {list(ks)}")
    pairs = test.row_index() * test.num_cols + test.col
    repeated = len(pairs) - len(pairs.unique())
    if repeated:
        raise ArrayError(f"test must hold distinct pairs, got {repeated} repeated ones")


def _check_shapes(train: CSR, test: CSR) -> None:
    shapes = [(csr.num_rows, csr.num_cols) for csr in (train, test)]
    if shapes[0] != shapes[1]:
        raise ArrayError(f"train and test must have one shape, got {shapes[0]} and {shapes[1]}")


def _accuracy(hits: Tensor, num_relevant: Tensor, k: int) -> dict[str, Tensor]:
    """Per-user values that depend on the hits."""
    return {
        f"recall@{k}": m.recall(hits, num_relevant, k),
        f"ndcg@{k}": m.ndcg(hits, num_relevant, k),
        f"precision@{k}": m.precision(hits, k),
        f"f1@{k}": m.f1(hits, num_relevant, k),
        f"map@{k}": m.average_precision(hits, num_relevant, k),
        f"mrr@{k}": m.reciprocal_rank(hits, k),
        f"hit_rate@{k}": m.hit_rate(hits, k),
    }


def _beyond_accuracy(ranked: Tensor, train: CSR, k: int) -> dict[str, Tensor]:
    """Per-user values that depend on the list alone."""
    listed = ranked[:, :k]
    audience, _ = train.transpose
    return {
        f"novelty@{k}": m.novelty(listed, audience.degree, int((train.degree > 0).sum())),
        f"popularity_bias@{k}": m.popularity_bias(listed, audience.degree),
        f"diversity@{k}": m.diversity(listed, audience),
    }


def _catalogue(ranked: Tensor, allowed: Tensor | None, num_items: int, k: int) -> dict[str, float]:
    """Values of all lists together, over the items that could be shown."""
    shown = m.exposure(ranked[:, :k], num_items)
    if allowed is not None:
        shown = shown[allowed.to(shown.device)]
    return {f"coverage@{k}": m.coverage(shown), f"gini@{k}": m.gini(shown)}
