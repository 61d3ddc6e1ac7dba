"""Weights of a fusion of least loss on held-out rows: constant ones, those by attention, and those of fewer views.

Weights are w, float32 [S, 5], and ln γ, float32 [S]. S views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import softmax
from torch import Tensor

from graphrec.errors import TrainingError
from graphrec.layers import CONTEXTS
from graphrec.models.fused_settings import FusedSettings
from graphrec.training.held_out import HeldOut

_STEPS = 40
_FOREMOST = 10.0
_UNEVEN = 0.003
"""Of the sum of p² in the loss of constant weights, see ``_fit``."""
AND = " + "
"""Between the names of views."""

Weights = tuple[Tensor, Tensor]


def plain_mean(settings: FusedSettings) -> Weights:
    """w = 0 and γ = 1."""
    return torch.zeros(len(settings.views), len(CONTEXTS)), torch.zeros(len(settings.views))


def fit_weights(rows: HeldOut, settings: FusedSettings) -> tuple[Weights, Weights]:
    """Constant weights, and those by attention."""
    every = range(len(settings.views))
    return _fit(rows, settings, every, attention=False), _fit(rows, settings, every, attention=True)


def fit_some(rows: HeldOut, settings: FusedSettings, kept: Sequence[int]) -> Weights:
    """Constant weights of some of the views."""
    return _fit(rows, settings, kept, attention=False)


def _fit(rows: HeldOut, settings: FusedSettings, kept: Sequence[int], *, attention: bool) -> Weights:
    """Of several descents the weights of least loss; without ``attention``, w is 0; γ is 0 but for ``kept``.

    The loss has several minima, and from the plain mean alone rounding decides which is found. So one descent starts
    there, and one from where each of the kept views has ten times the γ of the others. Views that are much alike can
    stand in for each other at next to no loss, and the squares of ln γ are least where one of them has next to all: so
    constant weights are drawn to even shares p = γ / Σγ by the sum of p² as well.
    """
    num_views, free = len(settings.views), torch.tensor(kept)
    num_weights = num_views * len(CONTEXTS) if attention else 0
    pull = settings.fusion_l2 / rows.num_rows

    def weights_of(flat: np.ndarray) -> Weights:
        given = torch.from_numpy(flat).float()
        scale = torch.full([num_views], -torch.inf).index_copy(0, free, given[num_weights:])
        weights = given[:num_weights] if attention else torch.zeros(num_views * len(CONTEXTS))
        return weights.view(num_views, -1), scale

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, by_attention, by_scale = rows.loss(*weights_of(flat))
        gradient = torch.cat([by_attention.flatten()[:num_weights], by_scale[free]]).numpy() / rows.num_users
        loss, gradient = loss / rows.num_users + pull * flat @ flat, gradient + 2 * pull * flat
        if not attention:
            share = softmax(flat)
            loss += _UNEVEN * (uneven := share @ share)
            gradient += 2 * _UNEVEN * share * (share - uneven)
        return loss, gradient

    starts = np.zeros((1 + len(kept), num_weights + len(kept)))
    np.fill_diagonal(starts[1:, num_weights:], np.log(_FOREMOST))
    found = [
        minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}) for start in starts
    ]
    losses = np.array([one.fun for one in found])
    if not np.isfinite(losses).all():
        raise TrainingError(f"the fusion's loss is {losses.max():.4g}", "a view gives scores that are not finite")
    return weights_of(found[losses.argmin()].x)


def take_away(rows: HeldOut, weights: Weights, settings: FusedSettings) -> dict[str, list[int]]:
    """Ever fewer views, down to two, by their names: each time without the one that constant weights miss least."""
    found = {}
    kept = list(range(len(settings.views)))
    while len(kept) > 2:
        attention, scale = weights
        losses = {view: rows.loss(attention, scale.index_fill(0, torch.tensor(view), -torch.inf))[0] for view in kept}
        missed_least = min(kept, key=losses.__getitem__)
        kept = [view for view in kept if view != missed_least]
        found[AND.join(settings.views[view] for view in kept)] = kept
        if len(kept) > 2:
            weights = fit_some(rows, settings, kept)
    return found
