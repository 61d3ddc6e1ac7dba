"""Functions of MᵀM for a sparse M, and its largest singular vectors, by products alone.

M is [U, I]; W columns of a block, K order of a polynomial, n singular vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphrec.sparse.csr import CSR
from graphrec.sparse.ops import spmm

WIDTH = 64
"""Columns multiplied at once: what lies between two products stays small, and the CPU kernel is made for this width."""

_RANGE = 1e4  # how much a filter may lift one vector above another before float32 loses the lower one
_DEGREE = 8  # of a filter, at most
_DEPENDENT = 1e-6  # below this share of the largest, what is left of a vector in a block is rounding
_TOLERANCE = 1e-4  # change of a squared singular value in a round at which it stands still
_ROUNDS = 20
_SMALL = 256  # a side as short as this is solved at once


def chebyshev_product(matrix: CSR, x: Tensor, coefficients: Sequence[float], bound: float = 1.0) -> Tensor:
    """Σ c_k T_k(L) x with L = 1 − (2 / bound) MᵀM, by Clenshaw's recurrence: K products with MᵀM.

    Eigenvalues of MᵀM in [0, bound] are eigenvalues of L in [1, −1].

    Args:
        matrix: M, CSR [U, I].
        x: float [I, W].
        coefficients: c_0..c_K, at least one.
        bound: > 0.

    Returns:
        float [I, W].

    >>> two = CSR.from_pairs([0], [0], 1, 2)
    >>> chebyshev_product(two, torch.eye(2), [0.0, 1.0])  # 1 − 2 MᵀM
    tensor([[-1.,  0.],
            [ 0.,  1.]])
    """
    turned = matrix.transpose[0]
    *lower, highest = coefficients
    last, before = x * highest, torch.zeros_like(x)
    for place, coefficient in reversed(list(enumerate(lower))):
        twice = 2 if place else 1  # the last step is L b_1 − b_2, the others 2 L b_(k+1) − b_(k+2)
        sent = spmm(matrix, last).mul_(-2 * twice / bound)
        plus = torch.lerp(before, last, 2.0) if place else last - before  # lerp: 2 last − before in one pass
        last, before = spmm(turned, sent, plus=plus.add_(x, alpha=coefficient)), last
    return last


def right_singular_vectors(matrix: CSR, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The largest singular values of a sparse matrix and their right vectors.

    Subspace iteration accelerated by Chebyshev polynomials (Zhou, Saad, Tiago & Chelikowsky 2006, §3): a random block
    is filtered by T_m on the eigenvalues below the block's smallest Ritz value, then rotated to its Ritz vectors, until
    the values stand still. It runs on the shorter side of the matrix. Departures: m is as high as float32 can bear;
    instead of a QR factorisation the block's overlaps are diagonalised (Stathopoulos & Wu 2002, algorithm SVQB), and
    vectors that have become dependent are drawn anew.

    Args:
        matrix: M, CSR [U, I].
        count: n ≥ 0, at most min(U, I).
        generator: of the first block, on the CPU.

    Returns:
        Values float32 [n], largest first, and vectors float32 [I, n], orthonormal; where M has fewer than n nonzero
        singular values, the vectors left over are 0.

    >>> right_singular_vectors(CSR.from_pairs([0, 1], [0, 1], 2, 2, value=[3.0, 2.0]), 2, torch.Generator())[0]
    tensor([3., 2.])
    """
    if count == 0:
        return torch.zeros(0, device=matrix.device), torch.zeros(matrix.num_cols, 0, device=matrix.device)
    short = matrix if matrix.num_cols <= matrix.num_rows else matrix.transpose[0]
    width = count + max(count // 4, 16)
    if short.num_cols <= max(width, _SMALL):
        squares, block = _ritz(short, torch.eye(short.num_cols, device=matrix.device))
    else:
        squares, block = _iterate(short, width, count, generator)
    value, block = squares[:count].clamp(min=0).sqrt().float(), block[:, :count]
    if short is not matrix:
        block = _by_columns(lambda part: spmm(short, part), block) / value.clamp(min=1e-30)
    return value, torch.where(value > 1e-3 * value[:1], block, 0.0)


def _iterate(matrix: CSR, width: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ritz values and vectors as ``_ritz`` gives them, of a block of ``width``, the first ``count`` at rest."""
    block = torch.randn(matrix.num_cols, width, generator=generator).to(matrix.device)
    for _ in range(2):  # of a random block, Ritz values say too little to choose a filter by
        block = _by_columns(lambda part: spmm(matrix.transpose[0], spmm(matrix, part)), block)
    squares, block = _ritz(matrix, block)
    for _ in range(_ROUNDS):
        known = squares
        lost = squares <= _DEPENDENT * squares[0]
        if bool(lost.any()):
            fresh = torch.randn(block.shape, generator=generator).to(block.device)
            block = torch.where(lost, fresh - block @ (block.T @ fresh), block)
        squares, block = _ritz(matrix, _lift(matrix, block, squares))
        change = (squares - known).abs() - _TOLERANCE * squares
        if bool((change[:count] <= 1e-6 * squares[0]).all()):
            break
    return squares, block


def _lift(matrix: CSR, block: Tensor, squares: Tensor) -> Tensor:
    """The block under T_m: what lies above its smallest Ritz value grows, what lies below does not."""
    top = max(float(squares[0]), 1e-30)
    bound = max(float(squares[-1]), 1e-6 * top)
    growth = math.acosh(max(2 * top / bound - 1, 1.0))
    longest = math.acosh(_RANGE)
    degree = max(int(longest / max(growth, longest / _DEGREE)), 1)
    coefficients = [0.0] * degree + [1.0]
    return _by_columns(lambda part: chebyshev_product(matrix, part, coefficients, bound), block)


def _ritz(matrix: CSR, block: Tensor) -> tuple[Tensor, Tensor]:
    """Ritz values of MᵀM in the span of a block, float64 [W], largest first, and their vectors, orthonormal or 0."""
    block = block / block.norm(dim=0).clamp(min=1e-30)
    sent = _by_columns(lambda part: spmm(matrix, part), block)
    overlap, basis = torch.linalg.eigh((block.T @ block).double())
    basis = basis * torch.where(overlap > _DEPENDENT * overlap[-1], overlap.clamp(min=1e-30).rsqrt(), 0.0)
    values, turn = torch.linalg.eigh(basis.T @ (sent.T @ sent).double() @ basis)
    return values.flip(0), block @ (basis @ turn).flip(1).float()


def _by_columns(product: Callable[[Tensor], Tensor], block: Tensor) -> Tensor:
    return torch.cat([product(part.contiguous()) for part in block.split(WIDTH, dim=1)], dim=1)
