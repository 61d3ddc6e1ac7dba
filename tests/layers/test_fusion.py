"""Attention over views: by hand, and the compiled sum beside its definition in plain torch."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphrec.layers import combine, nearness_loss, weigh
from graphrec.layers.fusion_kernels import scratch
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


def test_even_attention_is_a_mean_by_scale() -> None:
    scores, mean, scale, _, gamma, *contexts = drawn(2, 3, 4, 700)
    expected = torch.einsum("sbi,s->bi", (scores - mean[..., None]) * scale[..., None], gamma) / 3
    torch.testing.assert_close(combine(scores, mean, scale, torch.zeros(3, 5), gamma, *contexts), expected)
    nearly = combine(scores, mean, scale, torch.full((3, 5), 1e-7), gamma, *contexts)
    torch.testing.assert_close(nearly, expected, rtol=1e-4, atol=1e-5)


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


def listed(seed: int, views: int, people: int, most: int) -> tuple[Tensor, ...]:
    """Scores, start, held, attention, gamma and contexts of people with up to ``most`` candidates each."""
    generator = generator_for(seed)
    held = torch.randint(1, 4, (people,), generator=generator)
    size = held + torch.randint(most + 1, (people,), generator=generator)
    start = torch.nn.functional.pad(size.cumsum(0), (1, 0))
    shapes = ((views, int(start[-1])), (views, 5), (views,), (people,), (int(start[-1]),))
    scores, attention, gamma, of_user, of_item = (torch.randn(shape, generator=generator) for shape in shapes)
    return scores, start, held, attention, gamma.abs(), of_user, of_item


def nearness(scores: Tensor, start: Tensor, held: Tensor, *weights: Tensor) -> Tensor:
    """The loss as it is defined, one person after another, in double precision."""
    attention, gamma, of_user, of_item = (weight.double() for weight in weights)
    found = torch.zeros((), dtype=torch.float64)
    for person, own in enumerate(held.tolist()):
        at = slice(int(start[person]), int(start[person + 1]))
        parts = weigh(scores[:, None, at].double(), attention, gamma, of_user[person, None], of_item[at])
        against, held_out = parts.sum(dim=0)[0].split([at.stop - at.start - own, own])
        rank = 1 + ((against - held_out[:, None]) / 0.3).sigmoid().sum(dim=1)
        found = found - (1 / (1 + rank).log2()).mean()
    return found


def test_nearness_by_hand() -> None:
    """Even weights of two views: candidates of 0.5 and 0.5 beside a held-out item of 3."""
    scores = torch.tensor([[1.0, 3.0, 2.0], [0.0, -2.0, 4.0]])
    start, held, even = torch.tensor([0, 3]), torch.tensor([1]), torch.zeros(2, 5)
    loss, _, by_gamma = nearness_loss(scores, start, held, even, torch.ones(2), torch.zeros(1), torch.zeros(3))
    above = 1 / (1 + math.exp((3 - 0.5) / 0.3))
    rank = 1 + 2 * above
    assert loss == pytest.approx(-1 / math.log2(1 + rank), abs=1e-6)
    by_rank = 1 / (math.log2(1 + rank) ** 2 * (1 + rank) * math.log(2))
    by_distance = by_rank * above * (1 - above) / 0.3
    # half of each view's score counts: the first's are 1 and 3 against 2, the second's 0 and -2 against 4
    assert by_gamma.tolist() == pytest.approx([by_distance * (-1 + 1) / 2, by_distance * (-4 - 6) / 2], abs=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.sampled_from([0, 1, 15, 700]))
def test_nearness_and_its_gradient_are_their_definition(seed: int, views: int, people: int, most: int) -> None:
    scores, start, held, attention, gamma, *contexts = listed(seed, views, people, most)
    attention.requires_grad_(), gamma.requires_grad_()
    expected = nearness(scores, start, held, attention, gamma, *contexts)
    loss, *gradient = nearness_loss(scores, start, held, attention, gamma, *contexts)
    assert loss == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    slopes = (
        torch.autograd.grad(expected, (attention, gamma)) if people else (torch.zeros(views, 5), torch.zeros(views))
    )
    for found, slope in zip(gradient, slopes, strict=True):
        torch.testing.assert_close(found.float(), slope, rtol=1e-3, atol=2e-4)


def test_who_has_two_held_out_items_counts_like_who_has_one() -> None:
    """Far above every candidate, all have the first rank: held-out items are not held against each other."""
    scores, held = torch.tensor([[0.0, 50.0, 60.0, 0.0, 70.0]]), torch.tensor([2, 1])
    contexts = torch.zeros(2), torch.zeros(5)
    loss, *_ = nearness_loss(scores, torch.tensor([0, 3, 5]), held, torch.zeros(1, 5), torch.ones(1), *contexts)
    assert loss == pytest.approx(-2)


def test_nearness_of_nobody_is_nothing() -> None:
    nobody = (torch.zeros(2, 0), torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    loss, *gradient = nearness_loss(*nobody, torch.ones(2, 5), torch.ones(2), torch.zeros(0), torch.zeros(0))
    assert loss == 0 and not any(part.any() for part in gradient)


def test_nearness_has_the_same_bytes_with_any_threads() -> None:
    arguments = listed(7, 4, 300, 200)
    loss, *gradient = nearness_loss(*arguments)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 3)
        again, *slopes = nearness_loss(*arguments)
    finally:
        torch.set_num_threads(threads)
    assert loss == again and all(torch.equal(one, other) for one, other in zip(gradient, slopes, strict=True))


def test_scratch_lies_far_enough_from_all_else_that_sums_round_alike() -> None:
    """Compiled loops go another way, and round otherwise, where an array begins within 256 bytes of another."""
    (weight, *others, bits), more = scratch(2, 7, 2)
    rows = [*weight, *others, *more]
    starts = sorted([weight.base.ctypes.data, *(row.ctypes.data for row in rows)])
    assert bits.ctypes.data == others[-1].ctypes.data
    assert all(later - earlier >= 256 for earlier, later in itertools.pairwise(starts))


def test_a_view_without_scale_takes_its_share_and_says_nothing() -> None:
    """What is left of two views is half of the other's score."""
    scores, start, held, _, gamma, *contexts = listed(8, 2, 5, 30)
    even, none = torch.zeros(2, 5), torch.zeros(1, 5)
    loss, *_ = nearness_loss(scores, start, held, even, torch.tensor([gamma[0], 0.0]), *contexts)
    alone, *_ = nearness_loss(scores[:1], start, held, none, gamma[:1] / 2, *contexts)
    assert loss == pytest.approx(alone)
