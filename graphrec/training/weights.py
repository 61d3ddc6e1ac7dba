"""Weights of a fusion of least loss on held-out rows: constant ones, those by attention, and those of fewer views.

Weights are w, float32 [S, 5], and ln γ, float32 [S]. S views.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from graphrec.errors import TrainingError
from graphrec.layers import CONTEXTS
from graphrec.models.fused_settings import FusedSettings
from graphrec.training.held_out import HeldOut

_STEPS = 40
AND = " + "
"""Between the names of views."""

Weights = tuple[Tensor, Tensor]


def plain_mean(settings: FusedSettings) -> Weights:
    """w = 0 and γ = 1."""
    return torch.zeros(len(settings.views), len(CONTEXTS)), torch.zeros(len(settings.views))


def fit_weights(rows: HeldOut, settings: FusedSettings) -> tuple[Weights, Weights]:
    """Constant weights, and those by attention: of two descents, from them and from the plain mean, what loses less.

    The loss by attention has several minima, and neither start leads to the lowest in all data.
    """
    mean = plain_mean(settings)
    constant, _ = _minimise(rows, mean, settings, attention=False)
    found = [_minimise(rows, start, settings, attention=True) for start in (mean, constant)]
    return constant, min(found, key=itemgetter(1))[0]


def fit_some(rows: HeldOut, settings: FusedSettings, kept: Sequence[int]) -> Weights:
    """Constant weights of some of the views."""
    return _minimise(rows, plain_mean(settings), settings, attention=False, kept=kept)[0]


def _minimise(
    rows: HeldOut, start: Weights, settings: FusedSettings, *, attention: bool, kept: Sequence[int] | None = None
) -> tuple[Weights, float]:
    """Weights of least loss, from some on, and their loss; without ``attention``, w is 0; γ is 0 but for ``kept``."""
    num_views = len(settings.views)
    free = torch.arange(num_views) if kept is None else torch.tensor(kept)
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
        return loss / rows.num_users + pull * flat @ flat, gradient + 2 * pull * flat

    flat = torch.cat([start[0].flatten()[:num_weights], start[1][free]]).double().numpy()
    found = minimize(loss_and_gradient, flat, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    if not np.isfinite(found.fun):
        raise TrainingError(f"the fusion's loss is {found.fun:.4g}", "a view gives scores that are not finite")
    return weights_of(found.x), found.fun


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
