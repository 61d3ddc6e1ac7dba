"""Dropout whose draws come from a given generator."""

from __future__ import annotations

import torch
from torch import Tensor


def dropped(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """``values`` with a share of them set to zero and the rest scaled up, as dropout does, from a given generator."""
    if share == 0:
        return values
    kept = torch.rand(values.shape, generator=generator, device=values.device) >= share
    return values * kept / (1 - share)
