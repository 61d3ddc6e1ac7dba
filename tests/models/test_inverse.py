"""The inverse in place: against NumPy's, by blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.models import inverse
from graphrec.models.inverse import invert_, symmetric_rows


def positive(size: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).normal(size=(size, size))
    return matrix @ matrix.T + size * np.eye(size)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("block", [1, 4, 30])
def test_equals_the_inverse_and_reads_nothing_below_the_diagonal(
    size: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverse, "_ROWS", 5)
    matrix = positive(size)
    upper = torch.from_numpy(np.triu(matrix) + np.tril(np.full_like(matrix, 9.0), -1)).float()
    place = upper.data_ptr()
    assert invert_(upper, block)
    assert upper.data_ptr() == place
    assert np.allclose(symmetric_rows(upper, 0, size), np.linalg.inv(matrix), atol=1e-6)


def test_rows_of_a_symmetric_matrix() -> None:
    matrix = positive(9)
    upper = torch.from_numpy(np.triu(matrix))
    for start, stop in ((0, 9), (2, 5), (8, 9), (4, 4)):
        assert np.array_equal(symmetric_rows(upper, start, stop), matrix[start:stop]), (start, stop)


@pytest.mark.parametrize("block", [1, 2])
def test_a_matrix_that_is_not_positive_definite(block: int) -> None:
    assert not invert_(torch.ones(2, 2), block)
    assert not invert_(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), block)
