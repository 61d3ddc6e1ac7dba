"""Losses against arithmetic by hand and independent forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from graphrec.losses import (
    alignment_uniformity_loss,
    bilateral_softmax_loss,
    bpr_loss,
    info_nce_loss,
    l2_penalty,
    log_sum_exp,
    pool_bpr_loss,
    pool_softmax_loss,
    softmax_loss,
)
from graphrec.sampling import generator_for


def test_bpr_by_hand() -> None:
    user, positive, negative = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert bpr_loss(user, positive, negative).item() == pytest.approx(math.log(1 + math.exp(1.0)))  # margin 1 − 2


def test_bpr_is_logistic_regression_on_the_margin() -> None:
    user, positive, negative = torch.randn(3, 8, 4, generator=generator_for(0))
    margin = ((user * positive) - (user * negative)).sum(1)
    expected = binary_cross_entropy_with_logits(margin, torch.ones(8))
    assert torch.allclose(bpr_loss(user, positive, negative), expected, atol=1e-6)


def test_softmax_by_hand() -> None:
    user = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    item = torch.tensor([[1.0, 0.0], [3.0, 4.0]])  # cosines: [1, .6], [0, .8]
    used = torch.eye(2, dtype=torch.bool)
    first = math.log(math.exp(2) + math.exp(1.2)) - 2
    second = math.log(math.exp(0) + math.exp(1.6)) - 1.6
    loss = softmax_loss(user, item, used, temperature=0.5)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_used_item_is_no_negative() -> None:
    user, item = torch.randn(2, 2, 4, generator=generator_for(0))
    everything = torch.ones(2, 2, dtype=torch.bool)
    assert softmax_loss(user, item, everything, temperature=0.1).item() == pytest.approx(0.0, abs=1e-6)


def test_l2_by_hand() -> None:
    assert l2_penalty(torch.tensor([[3.0], [4.0]]), torch.tensor([[0.0], [1.0]])).item() == (9 + 16 + 1) / 4


def test_pool_bpr_by_hand() -> None:
    """Margins 1 − 2 and 1 − 0; the third item of the pool is used and does not count."""
    user, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    pool, used = torch.tensor([[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]]), torch.tensor([[False, False, True]])
    expected = (math.log(1 + math.exp(1.0)) + math.log(1 + math.exp(-1.0))) / 2
    assert pool_bpr_loss(user, positive, pool, used).item() == pytest.approx(expected)


def test_pool_bpr_is_the_mean_of_bpr_over_the_pool() -> None:
    user, positive, pool = torch.randn(3, 6, 4, generator=generator_for(0))
    each = torch.stack([bpr_loss(user, positive, item.expand(6, -1)) for item in pool]).mean()
    assert torch.allclose(pool_bpr_loss(user, positive, pool, torch.zeros(6, 6, dtype=torch.bool)), each)


def test_pool_softmax_by_hand() -> None:
    """Cosines 1 with the own item, 0 and .6 with the pool; the second comes three times as often as it should."""
    user, positive = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0]])
    pool, used = torch.tensor([[0.0, 1.0], [3.0, 4.0]]), torch.zeros(1, 2, dtype=torch.bool)
    odds = torch.tensor([1.0, 3.0]).log()
    expected = math.log(math.exp(2) + math.exp(0) + math.exp(1.2) / 3) - 2
    assert pool_softmax_loss(user, positive, pool, used, 0.5, odds).item() == pytest.approx(expected, rel=1e-5)


def test_a_pool_of_used_items_teaches_nothing() -> None:
    user, positive, pool = torch.randn(3, 2, 4, generator=generator_for(0)).requires_grad_()
    used = torch.ones(2, 2, dtype=torch.bool)
    total = pool_bpr_loss(user, positive, pool, used) + pool_softmax_loss(user, positive, pool, used, 0.1)
    assert total.item() == pytest.approx(0.0, abs=1e-6)
    total.backward()


def test_a_corrected_pool_stands_for_a_uniform_one() -> None:
    """Drawn by popularity and corrected, the sum over a large pool is that over all items, up to the pool's size."""
    user, items = torch.randn(1, 8, generator=generator_for(0)), torch.randn(5, 8, generator=generator_for(1))
    share = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])
    drawn = torch.multinomial(share, 200_000, replacement=True, generator=generator_for(2))
    used, odds = torch.zeros(1, len(drawn), dtype=torch.bool), (share * 5).log()
    pooled = pool_softmax_loss(user, items[:1], items[drawn], used, 1.0, odds[drawn])
    logits = torch.nn.functional.cosine_similarity(user, items)
    uniform = torch.logaddexp(logits[0], logits.logsumexp(0) + math.log(len(drawn) / 5)) - logits[0]
    assert pooled.item() == pytest.approx(uniform.item(), rel=1e-3)


def test_bilateral_softmax_by_hand() -> None:
    """Cosines: user 0 has 1 with its own item, .6 with the other; user 1 has .8 and 0. τ is ½, the weight .9."""
    user = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    item = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    loss = bilateral_softmax_loss(user, item, item, torch.eye(2, dtype=torch.bool), 0.5, 0.9)
    assert loss.item() == pytest.approx(((-2 + 0.9 * 1.2) + (-1.6 + 0.9 * 0)) / 2, rel=1e-5)


def test_bilateral_softmax_against_a_corrected_pool_by_hand() -> None:
    """Cosines 1 with the own item, 0, .6 and a used one; the second comes three times as often as it should."""
    user, positive = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0]])
    pool, used = torch.tensor([[0.0, 1.0], [3.0, 4.0], [1.0, 0.0]]), torch.tensor([[False, False, True]])
    odds = torch.tensor([1.0, 3.0, 2.0]).log()
    expected = 0.8 * math.log(math.exp(0) + math.exp(1.2) / 3) - 2
    assert bilateral_softmax_loss(user, positive, pool, used, 0.5, 0.8, odds).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_bilateral_softmax_is_the_plain_form_of_powers() -> None:
    """As its authors write it: −ln(e^own / (Σ e^other)^w), the batch's other items below."""
    user, item = torch.randn(2, 7, 4, generator=generator_for(0)).double().requires_grad_()
    score = torch.exp(normalize(user, dim=1) @ normalize(item, dim=1).T / 0.3)
    others = score.masked_fill(torch.eye(7, dtype=torch.bool), 0.0).sum(1)
    plain = -torch.log(score.diagonal() / others.pow(1.2)).mean()
    ours = bilateral_softmax_loss(user, item, item, torch.eye(7, dtype=torch.bool), 0.3, 1.2)
    assert torch.allclose(ours, plain)
    for mine, theirs in zip(*(torch.autograd.grad(loss, (user, item)) for loss in (ours, plain)), strict=True):
        assert torch.allclose(mine, theirs)


def test_a_pair_without_negatives_counts_nothing() -> None:
    user, item = torch.randn(2, 2, 4, generator=generator_for(0)).requires_grad_()
    used = torch.tensor([[True, True], [False, True]])
    loss = bilateral_softmax_loss(user, item, item, used, 0.2)
    alone = bilateral_softmax_loss(user[1:], item[1:], item, used[1:], 0.2)
    assert loss.item() == pytest.approx(alone.item() / 2)
    (grad,) = torch.autograd.grad(loss, user)
    assert grad.isfinite().all() and not grad[0].any() and grad[1].any()


def test_alignment_and_uniformity_by_hand() -> None:
    """Lengths do not count. ‖u − i‖² = 0 and 2 − 2·.8; the users' ‖u − u'‖² = 2, the items' 2 − 2·.6; γ is 3."""
    user = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    item = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    expected = (0 + 0.4) / 2 + 3 * (-2 * 2.0 - 2 * 0.8) / 2
    assert alignment_uniformity_loss(user, item, 3.0).item() == pytest.approx(expected, rel=1e-5)


def test_uniformity_is_that_of_all_distances() -> None:
    user, item = torch.randn(2, 9, 4, generator=generator_for(0)).double().requires_grad_()
    plain = (normalize(user, dim=1) - normalize(item, dim=1)).norm(dim=1).pow(2).mean()
    for part in (user, item):
        plain = plain + 0.7 * torch.pdist(normalize(part, dim=1)).pow(2).mul(-2).exp().mean().log() / 2
    ours = alignment_uniformity_loss(user, item, 0.7)
    assert torch.allclose(ours, plain)
    for mine, theirs in zip(*(torch.autograd.grad(loss, (user, item)) for loss in (ours, plain)), strict=True):
        assert torch.allclose(mine, theirs)


def test_one_pair_has_no_uniformity() -> None:
    user, item = torch.tensor([[1.0, 0.0]], requires_grad=True), torch.tensor([[0.0, 1.0]])
    loss = alignment_uniformity_loss(user, item, 1.0)
    assert loss.item() == 2.0
    loss.backward()


def test_info_nce_by_hand() -> None:
    """Cosines of the first view's rows with the second's: [1, .6] and [0, .8]; τ is ½."""
    one, other = torch.tensor([[2.0, 0.0], [0.0, 5.0]]), torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    first, second = math.log(math.exp(2) + math.exp(1.2)) - 2, math.log(math.exp(0) + math.exp(1.6)) - 1.6
    assert info_nce_loss(one, other, 0.5).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_info_nce_is_cross_entropy_of_cosines() -> None:
    one, other = torch.randn(2, 5, 4, generator=generator_for(0))
    cosine = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=2)
    assert torch.allclose(info_nce_loss(one, other, 0.2), cross_entropy(cosine / 0.2, torch.arange(5)), atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (7, 2)])
@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_log_sum_exp_is_torch_s_own(rows: int, columns: int, temperature: float) -> None:
    """With a row that leaves out everything, at temperatures where e^(1/τ) is no float32; the gradient too."""
    one = normalize(torch.randn(rows, 4, generator=generator_for(0)), dim=1).requires_grad_()
    other = normalize(torch.randn(columns, 4, generator=generator_for(1)), dim=1).requires_grad_()
    left_out = torch.rand(rows, columns, generator=generator_for(2)) < 0.3
    left_out[0], odds = True, torch.randn(columns, generator=generator_for(3))
    plain = (one @ other.T / temperature - odds).masked_fill(left_out, -torch.inf).logsumexp(1)
    ours = log_sum_exp(one, other, temperature, left_out, odds)
    assert torch.allclose(ours, plain, rtol=1e-5, atol=1e-5) and ours[0] == -torch.inf
    signs = torch.randn(rows, generator=generator_for(4)).masked_fill(left_out.all(1), 0.0)
    for mine, theirs in zip(*(torch.autograd.grad(out, (one, other), signs) for out in (ours, plain)), strict=True):
        assert torch.allclose(mine, theirs.nan_to_num(), rtol=1e-4, atol=1e-5)


def test_the_gradient_of_log_sum_exp_is_that_of_differences() -> None:
    one, other = torch.randn(2, 3, 4, generator=generator_for(0)).double().requires_grad_()
    left_out = torch.eye(3, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda a, b: log_sum_exp(a, b, 0.5, left_out), (one, other))
