"""Attention over views: by hand, and the compiled sum beside its definition in plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphrec.layers import combine, weigh
from graphrec.sampling import generator_for


def drawn(seed: int, views: int, people: int, items: int, size: float = 1.0) -> tuple[Tensor, ...]:
    """Scores, mean, scale, attention, gamma and the contexts of users and items."""
    generator = generator_for(seed)
    shapes = ((views, people, items), (views, people), (views, people), (views, 5), (views,), (people,), (items,))
    scores, mean, scale, attention, gamma, of_user, of_item = (torch.randn(s, generator=generator) for s in shapes)
    return scores, mean, scale.abs(), attention * size, gamma.abs(), of_user, of_item


def defined(scores: Tensor, mean: Tensor, scale: Tensor, *weights: Tensor) -> Tensor:
    standard = (scores.double() - mean[..., None]) * scale[..., None]
    return weigh(standard, *(weight.double() for weight in weights)).sum(dim=0)


def test_two_views_by_hand() -> None:
    """z = 3 and -1: mean 1, spread 2, cut to nothing; x_u = 0.5, x_i = -2."""
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [0.0, -0.2, 0.1, 0.0, -0.5]])
    first = 0.1 + 0.2 * 0.5 - 0.3 * 2 + 0.4 * 2 / 8 + 0.5 * 3 / 8
    second = 0.0 - 0.2 * 0.5 - 0.1 * 2 + 0.5 * 1 / 8
    share = 1 / (1 + math.exp(second - first))
    weights = (attention, torch.tensor([2.0, 0.5]), torch.tensor([0.5]), torch.tensor([-2.0]))
    parts = weigh(torch.tensor([3.0, -1.0])[:, None, None], *weights).flatten().tolist()
    assert parts == pytest.approx([share * 2 * 3, (1 - share) * 0.5 * -1], abs=1e-6)
    raw = torch.tensor([7.0, 0.0])[:, None, None]  # (7 - 1) / 2 = 3 and (0 - 1) / 1 = -1
    mean, scale = torch.ones(2, 1), torch.tensor([[0.5], [1.0]])
    assert combine(raw, mean, scale, *weights).item() == pytest.approx(sum(parts), abs=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(0, 5), st.sampled_from([0, 1, 15, 511, 512, 513, 1100]))
def test_the_compiled_sum_is_its_definition(seed: int, views: int, people: int, items: int) -> None:
    arguments = drawn(seed, views, people, items)
    found = combine(*arguments)
    assert found.shape == (people, items)
    torch.testing.assert_close(found, defined(*arguments).float(), rtol=1e-4, atol=1e-5)


def test_contexts_far_out_are_cut_off_and_weights_far_apart_leave_one_view() -> None:
    arguments = drawn(3, 3, 4, 600, size=100.0)
    scores = arguments[0] * 50
    torch.testing.assert_close(
        combine(scores, *arguments[1:]), defined(scores, *arguments[1:]).float(), rtol=1e-3, atol=1e-2
    )


def test_a_score_that_is_no_number_stays_one_and_spoils_no_other() -> None:
    arguments = drawn(4, 2, 3, 40)
    arguments[0][1, 2, 17] = torch.nan
    found = combine(*arguments)
    assert found[2, 17].isnan()
    assert int(found.isnan().sum()) == 1


def test_the_order_of_views_and_the_threads_change_nothing() -> None:
    arguments = drawn(5, 4, 40, 700)
    found = combine(*arguments)
    turned = combine(*(part.flip(0) for part in arguments[:5]), *arguments[5:])
    torch.testing.assert_close(found, turned, rtol=1e-5, atol=1e-5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 3)
        assert torch.equal(found, combine(*arguments))
    finally:
        torch.set_num_threads(threads)


def test_gradients_reach_the_weights() -> None:
    scores, _, _, attention, gamma, of_user, of_item = (part.double() for part in drawn(6, 3, 2, 4))
    attention.requires_grad_(), gamma.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, g: weigh(scores, a, g, of_user, of_item), (attention, gamma))
