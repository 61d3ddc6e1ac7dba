"""Losses against arithmetic by hand and independent forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec.losses import bpr_loss, l2_penalty, softmax_loss
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
