"""Polynomials of MᵀM and singular vectors: by hand, and against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.sparse import CSR, chebyshev_product, right_singular_vectors
from tests.worlds import pairs


def random_matrix(seed: int, num_rows: int, num_cols: int, share: float = 0.2) -> tuple[CSR, np.ndarray]:
    generator = np.random.default_rng(seed)
    dense = generator.random((num_rows, num_cols)) * (generator.random((num_rows, num_cols)) < share)
    row, col = dense.nonzero()
    return CSR.from_pairs(row, col, num_rows, num_cols, value=dense[row, col]), dense


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_polynomial_by_hand() -> None:
    """M has one entry √½ for item 0: MᵀM = diag(½, 0), L = diag(0, 1), T_2(L) = 2 L² − 1 = diag(−1, 1)."""
    matrix = CSR.from_pairs([0], [0], 1, 2, value=[0.5**0.5])
    found = chebyshev_product(matrix, torch.eye(2), [10.0, 5.0, 1.0])
    assert torch.allclose(found, torch.diag(torch.tensor([10.0 + 5 * 0 - 1, 10.0 + 5 * 1 + 1])))


@pytest.mark.parametrize("order", [0, 1, 2, 7])
def test_polynomials_equal_the_dense_ones(order: int) -> None:
    matrix, dense = random_matrix(1, 9, 7)
    coefficients = np.random.default_rng(order).random(order + 1).tolist()
    bound = 1.5 * np.linalg.norm(dense, 2) ** 2
    values, basis = np.linalg.eigh(dense.T @ dense)
    expected = basis * np.polynomial.chebyshev.chebval(1 - 2 / bound * values, coefficients) @ basis.T
    found = chebyshev_product(matrix, torch.eye(7), coefficients, float(bound))
    assert np.allclose(found.numpy(), expected, atol=1e-5)


def test_a_polynomial_leaves_its_argument_as_it_was() -> None:
    matrix, _ = random_matrix(2, 5, 4)
    signal = torch.ones(4, 1)
    chebyshev_product(matrix, signal, [1.0, 2.0, 3.0])
    assert torch.equal(signal, torch.ones(4, 1))


@pytest.mark.parametrize(("rows", "cols", "count"), [(350, 300, 20), (290, 400, 20), (8, 6, 6), (6, 8, 6), (1, 1, 1)])
def test_singular_vectors_equal_the_dense_ones(rows: int, cols: int, count: int) -> None:
    matrix, dense = random_matrix(3, rows, cols, share=1.0 if cols < 10 else 0.1)
    values, vectors = right_singular_vectors(matrix, count, seeded())
    right = np.linalg.svd(dense)[2][:count]
    assert np.allclose(values.numpy(), np.linalg.svd(dense)[1][:count], rtol=1e-3)
    assert np.allclose(vectors.T @ vectors, np.eye(count), atol=1e-4)
    assert np.linalg.norm(right @ vectors.numpy()) ** 2 == pytest.approx(count, rel=1e-2)


def test_a_dominant_value_hides_nothing() -> None:
    """A square 2500 times the next: in float32 its vector must not drown theirs."""
    row = np.arange(400)
    matrix = CSR.from_pairs(row, row, 400, 400, value=np.r_[100.0, 2.0, 1.8, np.linspace(1, 0, 397)])
    values, vectors = right_singular_vectors(matrix, 3, seeded())
    assert values.tolist() == pytest.approx([100.0, 2.0, 1.8], rel=2e-3)
    assert vectors.abs().argmax(dim=0).tolist() == [0, 1, 2]


def test_what_a_matrix_of_lower_rank_lacks_is_zero() -> None:
    dense = np.outer([1.0, 2.0, 0.0], [0.0, 3.0, 4.0, 0.0])
    row, col = dense.nonzero()
    for rows, cols in ((3, 4), (300, 400)):  # solved at once, and by iteration
        values, vectors = right_singular_vectors(
            CSR.from_pairs(row, col, rows, cols, value=dense[row, col]), 3, seeded()
        )
        assert values.tolist() == pytest.approx([5**0.5 * 5, 0, 0], abs=1e-2)
        assert vectors[:4, 0].abs().tolist() == pytest.approx([0, 3 / 5, 4 / 5, 0], abs=1e-5)
        assert torch.equal(vectors[:, 1:], torch.zeros(cols, 2))


@pytest.mark.parametrize("count", [0, 2])
def test_an_empty_matrix_has_none(count: int) -> None:
    values, vectors = right_singular_vectors(pairs([], 3, 2), count, seeded())
    assert values.shape == (count,) and torch.equal(vectors, torch.zeros(2, count))


def test_a_seed_repeats() -> None:
    matrix, _ = random_matrix(4, 50, 40)
    again = [right_singular_vectors(matrix, 5, seeded(7))[1] for _ in range(2)]
    assert torch.equal(*again)
