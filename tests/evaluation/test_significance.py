from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from graphrec.errors import UsageError
from graphrec.evaluation import compare, holm, paired_test


def test_by_hand() -> None:
    # changes 1, 0, 2, 1: mean 1, variance (0 + 1 + 1 + 0) / 3, so t = 1 / sqrt(2/3/4) = sqrt(6)
    found = paired_test([1.0, 1.0, 3.0, 2.0], [0.0, 1.0, 1.0, 1.0])
    assert found["difference"] == 1.0
    assert (found["won"], found["lost"], found["tied"], found["num_users"]) == (3, 0, 1, 4)
    assert found["p_value"] == pytest.approx(2 * stats.t.sf(6**0.5, 3))
    half = 3.182446305284263 * (2 / 3 / 4) ** 0.5  # the 97.5 % point of t with 3 degrees of freedom
    assert (found["low"], found["high"]) == pytest.approx((1 - half, 1 + half))


def test_agrees_with_scipy() -> None:
    generator = np.random.default_rng(1)
    a = generator.random(200)
    b = np.where(generator.random(200) < 0.3, a, generator.random(200))
    found, judge = paired_test(a, b), stats.ttest_rel(a, b)
    interval = judge.confidence_interval(0.95)
    assert found["p_value"] == pytest.approx(judge.pvalue)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert found["p_wilcoxon"] == pytest.approx(stats.wilcoxon(a, b).pvalue)


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.1, 0.2]])
def test_no_difference_is_certain_of_nothing(values: list[float]) -> None:
    found = paired_test(values, values)
    assert (found["difference"], found["p_value"], found["p_wilcoxon"]) == (0.0, 1.0, 1.0)
    assert (found["low"], found["high"], found["tied"]) == (0.0, 0.0, len(values))


def test_one_user_proves_nothing() -> None:
    found = paired_test([1.0], [0.0])
    assert (found["difference"], found["p_value"], found["p_wilcoxon"], found["won"]) == (1.0, 1.0, 1.0, 1)


def test_the_same_difference_for_everybody() -> None:
    found = paired_test([1.0] * 9, [0.5] * 9)
    assert (found["p_value"], found["low"], found["high"]) == (0.0, 0.5, 0.5)
    assert found["p_wilcoxon"] < 0.01


quarters = st.integers(0, 4).map(lambda value: value / 4)


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(quarters, quarters), min_size=1, max_size=8))
def test_swapping_the_models_turns_the_sign(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    one, other = paired_test(a, b), paired_test(b, a)
    assert one["difference"] == pytest.approx(-other["difference"])
    assert one["p_value"] == pytest.approx(other["p_value"])
    assert (one["won"], one["lost"], one["tied"]) == (other["lost"], other["won"], other["tied"])
    assert one["low"] <= one["difference"] <= one["high"]
    assert 0 <= one["p_value"] <= 1 and 0 <= one["p_wilcoxon"] <= 1


def test_wrong_calls() -> None:
    for a, b in (([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(UsageError, match="two rows of equal length"):
            paired_test(a, b)
    with pytest.raises(UsageError, match="finite"):
        paired_test([float("nan"), 1.0], [0.0, 0.0])


def test_compare_pairs_by_user() -> None:
    a = pd.DataFrame({"user_index": [3, 1, 7], "ndcg@20": [0.9, 0.4, 0.0]})
    b = pd.DataFrame({"user_index": [1, 3, 8], "ndcg@20": [0.5, 0.5, 0.1]})
    found = compare(a, b, "ndcg@20")
    assert found["difference"] == pytest.approx(((0.9 - 0.5) + (0.4 - 0.5)) / 2)
    assert (found["num_users"], found["unpaired"]) == (2, 2)
    with pytest.raises(UsageError, match=r"no metric 'recall@5'.*\nit holds ndcg@20"):
        compare(a, b, "recall@5")
    with pytest.raises(UsageError, match="two rows"):
        compare(a.head(0), b, "ndcg@20")


def test_holm_by_hand() -> None:
    # in rising order 0.001, 0.01, 0.02, 0.4 with factors 4, 3, 2, 1: 0.004, 0.03, 0.04, 0.4
    assert holm([0.02, 0.4, 0.001, 0.01]).tolist() == pytest.approx([0.04, 0.4, 0.004, 0.03])


def test_holm_never_falls_and_never_leaves_one() -> None:
    # 3 × 0.4 is cut off at 1; 2 × 0.5 = 1; and 1 × 0.6 must not fall below the ones before it
    assert holm([0.4, 0.5, 0.6]).tolist() == [1.0, 1.0, 1.0]
    # 2 × 0.04 = 0.08, and 1 × 0.05 is lifted to it
    assert holm([0.05, 0.04]).tolist() == pytest.approx([0.08, 0.08])


def test_holm_of_one_test_and_of_none() -> None:
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []


def test_holm_of_ties() -> None:
    assert holm([0.01, 0.01, 0.01]).tolist() == pytest.approx([0.03] * 3)


@given(st.lists(st.floats(0, 1), max_size=8))
@settings(max_examples=50, deadline=None)
def test_holm_as_its_procedure_decides(p_values: list[float]) -> None:
    """Rejecting where the corrected value is at most 5 % is what stepping down through the sorted tests does."""
    rejected = set()
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if min(1, p_values[place] * (len(p_values) - step)) > 0.05:
            break
        rejected.add(place)
    assert set(np.flatnonzero(holm(p_values) <= 0.05)) == rejected


@pytest.mark.parametrize("p_values", [[0.1, 1.2], [-0.1], [float("nan")], [[0.1]]])
def test_holm_wants_p_values(p_values: list[float]) -> None:
    with pytest.raises(UsageError, match="in \\[0, 1\\]"):
        holm(p_values)
