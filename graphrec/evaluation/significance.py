"""Whether two models differ, judged on the same users."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from graphrec.errors import ArrayError, UnknownNameError


def paired_test(a: ArrayLike, b: ArrayLike) -> dict[str, float | int]:
    """Paired t-test and Wilcoxon signed-rank test of a − b, user by user.

    Users on whom both agree count in the t-test and are set aside by Wilcoxon's. Fewer than two users prove nothing,
    and a difference of zero everywhere is no difference: both p-values are then 1. Where all differ by the same amount
    other than zero there is no spread to judge it by: the t-test's p is 0 and its interval a point.

    Args:
        a, b: float [n], the values of the same n users under two models.

    Returns:
        ``difference`` (mean of a − b), ``low`` and ``high`` (its 95 % confidence interval from the t distribution; the
        difference itself with fewer than two users), ``p_value`` (t-test, two-sided), ``p_wilcoxon``, ``won``, ``lost``
        and ``tied`` (users on whom a is above, below, equal), ``num_users``.

    Raises:
        UsageError: unless both have the same number of finite values, at least one.

    >>> result = paired_test([0.5, 0.5, 0.0], [0.0, 0.5, 0.0])
    >>> round(result["difference"], 4), round(result["p_value"], 4), result["won"], result["tied"]
    (0.1667, 0.4226, 1, 2)
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ArrayError(f"a paired test needs two rows of equal length, got shapes {first.shape} and {second.shape}")
    change = first - second
    if not np.isfinite(change).all():
        raise ArrayError("a paired test needs finite values")
    mean, n = float(change.mean()), len(change)
    p_value, half = _t_test(change)
    won, lost = int((change > 0).sum()), int((change < 0).sum())
    p_wilcoxon = float(stats.wilcoxon(change).pvalue) if n > 1 and won + lost else 1.0
    return {
        "difference": mean,
        "low": mean - half,
        "high": mean + half,
        "p_value": p_value,
        "p_wilcoxon": p_wilcoxon,
        "won": won,
        "lost": lost,
        "tied": n - won - lost,
        "num_users": n,
    }


def compare(per_user_a: pd.DataFrame, per_user_b: pd.DataFrame, metric: str) -> dict[str, float | int]:
    """``paired_test`` of one metric over the users that both evaluations judged.

    Args:
        per_user_a, per_user_b: ``Evaluation.per_user`` of two models on one data set.
        metric: a column of both, ``recall@20`` say.

    Returns:
        What ``paired_test`` returns, and ``unpaired``: users that only one of the two judged, who are left out.

    >>> a = pd.DataFrame({"user_index": [0, 1, 2], "recall@20": [0.5, 0.1, 0.0]})
    >>> b = pd.DataFrame({"user_index": [2, 1, 4], "recall@20": [0.0, 0.2, 0.3]})
    >>> result = compare(a, b, "recall@20")
    >>> round(result["difference"], 4), result["num_users"], result["unpaired"]
    (-0.05, 2, 2)
    """
    for table in (per_user_a, per_user_b):
        if metric not in table.columns:
            known = [name for name in table.columns if name != "user_index"]
            raise UnknownNameError(f"no metric {metric!r} in the per-user table", f"it holds {', '.join(known)}")
    columns = ["user_index", metric]
    both = per_user_a[columns].merge(per_user_b[columns], on="user_index", validate="one_to_one", suffixes=("_a", "_b"))
    unpaired = len(per_user_a) + len(per_user_b) - 2 * len(both)
    return paired_test(both[f"{metric}_a"], both[f"{metric}_b"]) | {"unpaired": unpaired}


def holm(p_values: ArrayLike) -> np.ndarray:
    """p-values of a family of tests, corrected so that one wrong finding among them stays as unlikely as one test's.

    With m tests in rising order of p: p̃_(k) = max over j ≤ k of min(1, (m − j + 1) p_(j)) (Holm 1979, *A simple
    sequentially rejective multiple test procedure*). The tests need not be independent.

    Args:
        p_values: float [m] in [0, 1], all tests that were made; m may be 0.

    Returns:
        float64 [m], in the order of ``p_values``.

    Raises:
        UsageError: not one row of numbers in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()  # 3 × 0.01, 2 × 0.03, and 0.04 is no less than that
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ArrayError(f"p-values must be a row of numbers in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(p), 0, -1)))
    return corrected


def _t_test(change: np.ndarray) -> tuple[float, float]:
    """Two-sided p-value and half the width of the 95 % interval."""
    n = len(change)
    if n < 2 or not change.any():
        return 1.0, 0.0
    if (change == change[0]).all():
        return 0.0, 0.0
    error = float(change.std(ddof=1)) / np.sqrt(n)
    p_value = float(2 * stats.t.sf(abs(float(change.mean())) / error, n - 1))
    return p_value, float(stats.t.ppf(0.975, n - 1) * error)
