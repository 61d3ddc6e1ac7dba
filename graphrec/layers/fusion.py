"""Attention over views: how much each view's score counts for a pair, and their weighed sum.

S views, B people in a block, I items, C items scored of each person.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from graphrec.layers.fusion_kernels import LIMIT, TILE, combine_rows, loss_rows, mean_rows, scratch
from graphrec.sparse.cpu.memory import empty
from graphrec.sparse.cpu.threads import for_each_block

CONTEXTS = ("bias", "user_degree", "item_degree", "spread", "score")
_EQUAL = 1e-12  # the least variance over views: the slope of the root is finite there
_CHUNK_SCORES = (
    2**20
)  # scores at once in plain torch: larger temporaries are fresh pages every time, and three times as slow


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
    result = empty(scores.shape[1:], device=scores.device)
    if scores.is_cuda:
        size = max(1, _CHUNK_SCORES // max(1, scores.shape[2]))
        for rows in torch.arange(len(result)).split(size):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            standard = (scores[:, part] - mean[:, part, None]) * scale[:, part, None]
            torch.sum(weigh(standard, attention, gamma, of_user[part], of_item), dim=0, out=result[part])
        return result
    rowptr = np.arange(len(result) + 1, dtype=np.int64) * result.shape[1]
    out = result.numpy()
    if attention.any():
        arrays = _arrays(scores, mean, scale, attention, gamma, of_user, of_item)
        space = partial(scratch, len(scores), TILE, len(scores))  # z̃ of a tile of every view
        for_each_block(combine_rows, rowptr, space, *arrays, out)
    else:
        for_each_block(mean_rows, rowptr, tuple, *_arrays(scores, mean, scale * gamma[:, None] / len(scores)), out)
    return result


def nearness_loss(
    scores: Tensor,
    start: Tensor,
    held: Tensor,
    attention: Tensor,
    gamma: Tensor,
    of_user: Tensor,
    of_item: Tensor,
) -> tuple[float, Tensor, Tensor]:
    """How far held-out items are from the top of their lists, and its gradient, in one compiled pass.

    L = −Σ_u mean_i 1 / log₂(1 + rank), the mean over u's held-out items, rank = 1 + Σ_c σ((score(u, c) −
    score(u, i)) / 0.3) over u's candidates c: minus the mean gain in DCG, with the smooth rank of ApproxNDCG (Qin, Liu
    & Li 2010, *A general approximation framework for direct optimization of information retrieval measures*, §4).
    ``score`` is what ``combine`` gives.

    Args:
        scores: z̃ of the candidates of all P people side by side, and after each one's candidates of the held-out
            items, float32 [S, N], on the CPU.
        start: int64 [P + 1], person p has the columns from ``start[p]`` to ``start[p + 1]``.
        held: int64 [P], how many of them are held-out items, at least one.
        attention, gamma: as in ``weigh``.
        of_user, of_item: float32 [P] and [N].

    Returns:
        L, and its gradient by ``attention`` [S, 5] and by ``gamma`` [S], float64.

    >>> scores = torch.tensor([[1.0, 1.0]])  # a candidate as good as the held-out item: rank 1.5
    >>> start, held, one = torch.tensor([0, 2]), torch.tensor([1]), torch.ones(1)
    >>> loss, *_ = nearness_loss(scores, start, held, torch.zeros(1, 5), one, torch.zeros(1), torch.zeros(2))
    >>> f"{loss:.4f}"  # −1 / log₂ 2.5
    '-0.7565'
    """
    num_views = len(scores)
    rows = np.empty((len(held), 1 + 6 * num_views))
    most = int(start.diff().max()) if len(held) else 0
    arrays = _arrays(start, held, scores, attention.float(), gamma.float(), of_user, of_item)
    for_each_block(loss_rows, arrays[0], partial(scratch, num_views, most, 2), *arrays, rows)
    loss, by_gamma, by_attention = np.split((rows / arrays[1][:, None]).sum(axis=0), [1, 1 + num_views])
    return float(loss[0]), torch.from_numpy(by_attention.reshape(num_views, -1)), torch.from_numpy(by_gamma)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
