"""The random state that a whole program shares: graphrec neither reads nor moves it."""
# ruff: noqa: NPY002, TID251

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from graphrec.testing.subject import require


@contextmanager
def untouched(seed: int) -> Iterator[None]:
    """Seed everything, require that nobody draws from it within the block, and put back what was there before."""
    before = _states()
    try:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        seeded = _told()
        yield
        require(_told() == seeded, "the random state of torch, numpy or Python has moved")
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


def _states() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate()


def _told() -> str:
    """The states in a form that can be compared."""
    torch_state, numpy_state, python_state = _states()
    return repr((torch_state.tolist(), [np.asarray(part).tolist() for part in numpy_state], python_state))
