"""Attention over views: how much each view's score counts for a pair, and their weighed sum.

S views, B people in a block, I items, C items scored of each person.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrec.sparse.cpu.threads import for_each_block
from graphrec.sparse.cpu.vector import kernel

CONTEXTS = ("bias", "user_degree", "item_degree", "spread", "score")
LIMIT = 8.0
"""z̃ and its spread are cut off at ±LIMIT and divided by it, as contexts."""
_TILE = 512  # items at once: what a tile needs of every view stays in the fastest memory
_EQUAL = 1e-12  # the least variance over views: the slope of the root is finite there
_CHUNK_SCORES = (
    2**20
)  # scores at once in plain torch: larger temporaries are fresh pages every time, and three times as slow

_F = np.float32
_LIMIT, _SHRINK, _LOG2_E, _LEAST, _HALF = _F(LIMIT), _F(1 / LIMIT), _F(np.log2(np.e)), _F(-126.0), _F(0.5)
_ZERO, _ONE, _LOWEST, _BIAS, _MANTISSA = _F(0.0), _F(1.0), _F(-1e30), np.int32(127), np.int32(23)
# 2^r on [−½, ½], its Taylor polynomial ln(2)^n / n!, off by less than 3e-7
_C1, _C2, _C3, _C4, _C5, _C6 = (_F(np.log(2.0) ** n / np.prod(np.arange(1.0, n + 1))) for n in range(1, 7))


def weigh(scores: Tensor, attention: Tensor, gamma: Tensor, of_user: Tensor, of_item: Tensor) -> Tensor:
    """a_s γ_s z̃_s of every view, with a = softmax_s(w_s · c_s) and c_s = [1, x_u, x_i, spread of z̃ over views, z̃_s].

    Args:
        scores: z̃, float32 [S, B, C].
        attention: w, float32 [S, 5], by ``CONTEXTS``.
        gamma: γ ≥ 0, float32 [S].
        of_user: x_u, float32 [B].
        of_item: x_i, float32 [C], or [B, C] where each person has items of their own.

    Returns:
        float32 [S, B, C]; differentiable.

    >>> even = weigh(torch.tensor([[[2.0]], [[4.0]]]), torch.zeros(2, 5), torch.ones(2), torch.zeros(1), torch.zeros(1))
    >>> even.flatten()
    tensor([1., 2.])
    """
    bias, by_user, by_item, by_spread, by_score = attention.T[..., None, None]
    mean = scores.mean(dim=0)
    spread = (scores.square().mean(dim=0) - mean.square()).clamp(min=_EQUAL).sqrt().clamp(max=LIMIT)
    logits = scores.clamp(-LIMIT, LIMIT) * (by_score / LIMIT)
    logits = logits.addcmul(by_spread / LIMIT, spread) + (bias + by_user * of_user[:, None]) + by_item * of_item
    return logits.softmax(dim=0) * gamma[:, None, None] * scores


def combine(
    scores: Tensor, mean: Tensor, scale: Tensor, attention: Tensor, gamma: Tensor, of_user: Tensor, of_item: Tensor
) -> Tensor:
    """Σ_s a_s γ_s z̃_s with z̃_s = (z_s − mean) · scale, as ``weigh`` has it, in one pass over the scores.

    Args:
        scores: z, float32 [S, B, I].
        mean, scale: float32 [S, B].
        attention, gamma, of_user, of_item: as in ``weigh``; no gradient reaches them.

    Returns:
        float32 [B, I].

    >>> one = torch.ones(1, 1)
    >>> combine(torch.tensor([[[5.0, 1.0]]]), 3 * one, one / 2, torch.zeros(1, 5), one[0], one[0], torch.zeros(2))
    tensor([[ 1., -1.]])
    """
    result = torch.empty(scores.shape[1:], device=scores.device)
    if scores.is_cuda:
        size = max(1, _CHUNK_SCORES // max(1, scores.shape[2]))
        for rows in torch.arange(len(result)).split(size):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            standard = (scores[:, part] - mean[:, part, None]) * scale[:, part, None]
            torch.sum(weigh(standard, attention, gamma, of_user[part], of_item), dim=0, out=result[part])
        return result
    arrays = [tensor.detach().contiguous().numpy() for tensor in (mean, scale, attention, gamma, of_user, of_item)]
    num_rows, num_items = result.shape
    rowptr = np.arange(num_rows + 1, dtype=np.int64) * num_items
    for_each_block(_combine_rows, rowptr, lambda: _scratch(len(scores)), scores.numpy(), *arrays, result.numpy())
    return result


# for CPUs. LLVM vectorises each of the short loops below as long as few arrays take part, which it must compare.


def _scratch(num_views: int) -> tuple[np.ndarray, ...]:
    """z̃ and logits of a tile for every view, then two sums, the largest logit, and a power of two as its bits."""
    power = np.empty(_TILE, np.int32)
    tables = (np.empty((num_views, _TILE), np.float32) for _ in range(2))
    rows = (np.empty(_TILE, np.float32) for _ in range(3))
    return (*tables, *rows, power, power.view(np.float32))


@kernel
def _combine_rows(  # type: ignore[no-untyped-def]
    block, first_row, last_row, scratch, scores, mean, scale, attention, gamma, of_user, of_item, result
):
    """Rows first_row..last_row, a tile of items at a time."""
    standard, logit, total, second, largest, bits, power = scratch
    num_views, _, num_items = scores.shape
    for row in range(np.intp(first_row), np.intp(last_row)):
        for start in range(0, num_items, _TILE):
            stop = min(start + _TILE, num_items)
            size = stop - start
            for t in range(size):
                total[t], second[t], largest[t] = _ZERO, _ZERO, _LOWEST
            for s in range(num_views):
                _standardize(scores[s, row, start:stop], mean[s, row], scale[s, row], standard[s, :size], total, second)
            _spread(total[:size], second[:size], _ONE / _F(num_views))
            for s in range(num_views):
                alone = attention[s, 0] + attention[s, 1] * of_user[row]
                weights = (alone, attention[s, 2], attention[s, 3], attention[s, 4] * _SHRINK)
                _logits(standard[s, :size], of_item[start:stop], second, weights, logit[s], largest)
            for t in range(size):
                total[t] = second[t] = _ZERO
            for s in range(num_views):
                _exponential(logit[s, :size], largest, bits)
                _add(logit[s, :size], power, standard[s], gamma[s], total, second)
            _divide(second[:size], total, result[row, start:stop])


@kernel
def _standardize(score, mean, scale, standard, total, square):  # type: ignore[no-untyped-def]
    for t in range(len(score)):
        z = (score[t] - mean) * scale
        standard[t] = z
        total[t] += z
        square[t] += z * z


@kernel
def _spread(total, square, share):  # type: ignore[no-untyped-def]
    """The deviation over views, as a context, in the place of the squares."""
    for t in range(len(total)):
        mean = total[t] * share
        square[t] = min(np.sqrt(max(square[t] * share - mean * mean, _ZERO)), _LIMIT) * _SHRINK


@kernel
def _logits(standard, of_item, spread, weights, logit, largest):  # type: ignore[no-untyped-def]
    alone, by_item, by_spread, by_score = weights
    for t in range(len(standard)):
        z = max(-_LIMIT, min(_LIMIT, standard[t]))
        value = alone + by_item * of_item[t] + by_spread * spread[t] + by_score * z
        logit[t] = value
        largest[t] = max(largest[t], value)


@kernel
def _exponential(logit, largest, bits):  # type: ignore[no-untyped-def]
    """e^(logit − largest) as 2^r, in the logit's place, times 2^k, as the bits of a float."""
    for t in range(len(logit)):
        x = max((logit[t] - largest[t]) * _LOG2_E, _LEAST)
        k = np.int32(x - _HALF)
        r = x - _F(k)
        bits[t] = (k + _BIAS) << _MANTISSA
        logit[t] = _ONE + r * (_C1 + r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * _C6)))))


@kernel
def _add(mantissa, power, standard, gamma, total, weighed):  # type: ignore[no-untyped-def]
    for t in range(len(mantissa)):
        weight = mantissa[t] * power[t]
        total[t] += weight
        weighed[t] += weight * gamma * standard[t]


@kernel
def _divide(weighed, total, result):  # type: ignore[no-untyped-def]
    for t in range(len(weighed)):
        result[t] = weighed[t] / total[t]
