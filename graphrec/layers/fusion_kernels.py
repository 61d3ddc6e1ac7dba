"""Compiled passes of attention over views: the fused score, and a ranking loss of it with its gradient.

LLVM vectorises each of the short loops below as long as few arrays take part, which it must compare.
"""

from __future__ import annotations

import numpy as np

from graphrec.sparse.cpu.vector import kernel

LIMIT = 8.0
"""z̃ and its spread are cut off at ±LIMIT and divided by it, as contexts."""
SOFTNESS = 0.3
"""By how much a score must be above another to count as above it: the width of the sigmoid."""
TILE = 512
"""Items at once: what a tile needs of every view stays in the fastest memory."""

_F = np.float32
_LIMIT, _SHRINK, _LOG2_E, _LEAST, _HALF = _F(LIMIT), _F(1 / LIMIT), _F(np.log2(np.e)), _F(-126.0), _F(0.5)
_ZERO, _ONE, _LOWEST, _BIAS, _MANTISSA = _F(0.0), _F(1.0), _F(-1e30), np.int32(127), np.int32(23)
_HARDNESS, _LN2 = _F(1 / SOFTNESS), np.log(2.0)
# 2^r on [−½, ½], its Taylor polynomial ln(2)^n / n!, off by less than 3e-7
_C1, _C2, _C3, _C4, _C5, _C6 = (_F(np.log(2.0) ** n / np.prod(np.arange(1.0, n + 1))) for n in range(1, 7))


def scratch(num_views: int, size: int, num_more: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """What attention needs of ``size`` items, and more rows that long.

    Where the array that a loop writes begins less than 256 bytes after one that it reads, LLVM's code adds one number
    after another instead of many at once, and the sum is rounded otherwise. So that the result is the same wherever the
    memory lies, rows are long, and the first of them stays unused. They do not lie 4096 bytes apart, which is slow.

    Args:
        num_views: S.
        size: of the rows; they may be longer.
        num_more: rows asked for beside those of attention.

    Returns:
        Attention of every view [S, size], then its sum, the fused score, the spread, the largest logit, 2^k and its
        bits; and the other rows, float32 [num_more, size].
    """
    rows = np.empty((1 + num_views + 5 + num_more, max(size, TILE) + 16), np.float32)
    weight, (total, fused, spread, largest, power), more = np.split(rows[1:], [num_views, num_views + 5])
    return (weight, total, fused, spread, largest, power, power.view(np.int32)), more


@kernel
def combine_rows(  # type: ignore[no-untyped-def]
    block, first_row, last_row, space, scores, mean, scale, attention, gamma, of_user, of_item, result
):
    """Σ_s a_s γ_s z̃_s of rows first_row..last_row, a tile of items at a time."""
    attending, standard = space
    _, total, fused, spread, _, _, _ = attending
    num_views, _, num_items = scores.shape
    for row in range(np.intp(first_row), np.intp(last_row)):
        for start in range(0, num_items, TILE):
            stop = min(start + TILE, num_items)
            size = stop - start
            _clear(total[:size], spread)
            for s in range(num_views):
                _standardize(scores[s, row, start:stop], mean[s, row], scale[s, row], standard[s, :size], total, spread)
            _attend(standard, 0, size, attention, gamma, of_user[row], of_item[start:stop], attending)
            _divide(fused[:size], total, result[row, start:stop])


@kernel
def mean_rows(block, first_row, last_row, space, scores, mean, weight, result):  # type: ignore[no-untyped-def]
    """Σ_s (z_s − mean_s) · weight_s of rows first_row..last_row: what even attention comes to."""
    for row in range(np.intp(first_row), np.intp(last_row)):
        result[row] = _ZERO
        for s in range(len(scores)):
            _add_standardized(scores[s, row], mean[s, row], weight[s, row], result[row])


@kernel
def loss_rows(  # type: ignore[no-untyped-def]
    block, first_person, last_person, space, start, held, scores, attention, gamma, of_user, of_item, result
):
    """Of each person, in a row of ``result``: minus the DCG, its slope by γ [S], and by w [S · 5]."""
    attending, more = space
    slope, pull = more[0], more[1]
    weight, total, fused, spread, negated, power, bits = attending
    num_views = len(scores)
    for person in range(np.intp(first_person), np.intp(last_person)):
        begin, stop, row = start[person], start[person + 1], result[person]
        size = stop - begin
        others = size - held[person]
        _clear(total[:size], spread)
        for s in range(num_views):
            _add_powers(scores[s, begin:stop], total, spread)
        _attend(scores, begin, stop, attention, gamma, of_user[person], of_item[begin:stop], attending)
        _divide(fused[:size], total, fused)
        _clear(pull[:size], slope)
        row[0] = 0.0
        for one in range(others, size):
            own = fused[one]
            _distance(fused[:others], own, negated, slope)
            _exponential(negated[:others], slope, bits)
            rank = np.float64(_ONE + _above(fused[:others], own, negated, power, slope))
            log = np.log2(1 + rank)
            row[0] -= 1 / log
            pull[one] -= _pull(slope[:others], _F(1 / (log * log * (1 + rank) * _LN2)), pull)
        for s in range(num_views):
            row[1 + s] = _slope_of_scale(weight[s, :size], total, fused, pull, scores[s, begin:stop], gamma[s])
            place = 1 + num_views + 5 * s
            slopes = _slopes_of_weights(weight[s, :size], of_item[begin:stop], spread, scores[s, begin:stop])
            row[place], row[place + 2], row[place + 3], row[place + 4] = slopes
            row[place + 1] = row[place] * of_user[person]


@kernel
def _attend(scores, begin, stop, attention, gamma, of_user, of_item, attending):  # type: ignore[no-untyped-def]
    """From Σ z̃ and Σ z̃² over views, in the places of sum and spread: attention but for its sum, and Σ_s of it · γ z̃."""
    weight, total, fused, spread, largest, power, bits = attending
    num_views, size = len(scores), stop - begin
    _spread(total[:size], spread, _ONE / _F(num_views), largest)
    for s in range(num_views):
        alone = attention[s, 0] + attention[s, 1] * of_user
        weights = (alone, attention[s, 2], attention[s, 3], attention[s, 4] * _SHRINK)
        _logits(scores[s, begin:stop], of_item, spread, weights, weight[s], largest)
    _clear(total[:size], fused)
    for s in range(num_views):
        _exponential(weight[s, :size], largest, bits)
        _add(weight[s, :size], power, scores[s, begin:stop], gamma[s], total, fused)


@kernel
def _clear(one, other):  # type: ignore[no-untyped-def]
    for t in range(len(one)):
        one[t] = other[t] = _ZERO


@kernel
def _standardize(score, mean, scale, standard, total, square):  # type: ignore[no-untyped-def]
    for t in range(len(score)):
        z = (score[t] - mean) * scale
        standard[t] = z
        total[t] += z
        square[t] += z * z


@kernel
def _add_standardized(score, mean, weight, total):  # type: ignore[no-untyped-def]
    for t in range(len(score)):
        total[t] += (score[t] - mean) * weight


@kernel
def _add_powers(standard, total, square):  # type: ignore[no-untyped-def]
    for t in range(len(standard)):
        z = standard[t]
        total[t] += z
        square[t] += z * z


@kernel
def _spread(total, square, share, largest):  # type: ignore[no-untyped-def]
    """The deviation over views, as a context, in the place of the squares; no logit is met yet."""
    for t in range(len(total)):
        mean = total[t] * share
        square[t] = min(np.sqrt(max(square[t] * share - mean * mean, _ZERO)), _LIMIT) * _SHRINK
        largest[t] = _LOWEST


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
    """The weight, in the mantissa's place, and what it adds to both sums."""
    for t in range(len(mantissa)):
        weight = mantissa[t] * power[t]
        mantissa[t] = weight
        total[t] += weight
        weighed[t] += weight * gamma * standard[t]


@kernel
def _divide(weighed, total, result):  # type: ignore[no-untyped-def]
    for t in range(len(weighed)):
        result[t] = weighed[t] / total[t]


@kernel
def _distance(fused, own, negated, zero):  # type: ignore[no-untyped-def]
    """Minus how far each score is from one's own, in widths of the sigmoid."""
    for t in range(len(fused)):
        negated[t] = -abs(fused[t] - own) * _HARDNESS
        zero[t] = _ZERO


@kernel
def _above(fused, own, mantissa, power, slope):  # type: ignore[no-untyped-def]
    """Σ_c σ((score_c − own) / softness), and the slope of each term by its score."""
    found = _ZERO
    for t in range(len(fused)):
        small = mantissa[t] * power[t]  # e^−|distance|
        share = _ONE / (_ONE + small)
        found += share if fused[t] > own else small * share
        slope[t] = small * share * share * _HARDNESS
    return found


@kernel
def _pull(slope, factor, pull):  # type: ignore[no-untyped-def]
    """Add the loss's slope by each score; returns what they add up to."""
    found = _ZERO
    for t in range(len(slope)):
        part = factor * slope[t]
        pull[t] += part
        found += part
    return found


@kernel
def _slope_of_scale(weight, total, fused, pull, standard, gamma):  # type: ignore[no-untyped-def]
    """The loss's slope by γ_s; those by the logits go into the place of the weights."""
    found = _ZERO
    for t in range(len(weight)):
        share = pull[t] * weight[t] / total[t]
        found += share * standard[t]
        weight[t] = share * (gamma * standard[t] - fused[t])
    return found


@kernel
def _slopes_of_weights(slope, of_item, spread, standard):  # type: ignore[no-untyped-def]
    """Σ slope · context, for the contexts bias, item's degree, spread and score."""
    bias, item, by_spread, by_score = _ZERO, _ZERO, _ZERO, _ZERO
    for t in range(len(slope)):
        bias += slope[t]
        item += slope[t] * of_item[t]
        by_spread += slope[t] * spread[t]
        by_score += slope[t] * max(-_LIMIT, min(_LIMIT, standard[t]))
    return bias, item, by_spread, by_score * _SHRINK
