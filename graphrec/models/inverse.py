"""The inverse of a large positive definite matrix, in its own place.

n rows, b rows of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 512  # rows swept at once: beside the matrix there are two panels of n × 512
_ROWS = 2048  # rows that one product changes


def invert_(upper: Tensor, block: int = _BLOCK) -> bool:
    """Replace a symmetric positive definite matrix by its inverse; what is below the diagonal is neither read nor kept.

    The symmetric sweep (Goodnight 1979, *A tutorial on the SWEEP operator*), a block of rows K at a time:
    A_RR −= A_RK A_KK⁻¹ A_KR for the other rows R, A_RK ← A_RK A_KK⁻¹, A_KK ← −A_KK⁻¹; after all blocks A is −A⁻¹. It
    is n³ operations as Cholesky's way is, nearly all of them matrix products. LAPACK would do as well, but OpenBLAS's
    threaded routines segfaulted here, on a machine of two cores, from some ten thousand rows on; why is not known.

    Args:
        upper: float32 [n, n], changed in place; right on and above the diagonal.
        block: rows swept at once.

    Returns:
        Whether it worked; False if the matrix is not positive definite in its precision.

    >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> invert_(matrix, block=1), matrix.triu()
    (True, tensor([[ 0.6667, -0.3333],
            [ 0.0000,  0.6667]]))
    """
    size = len(upper)
    for start in range(0, size, block):
        stop = min(start + block, size)
        panel = torch.cat([upper[:start, start:stop], _square(upper, start, stop), upper[start:stop, stop:].T])
        factor, failed = torch.linalg.cholesky_ex(panel[start:stop].double())
        if failed:
            return False
        inverse = torch.cholesky_inverse(factor).to(upper.dtype)
        swept = panel @ inverse
        panel[start:stop] = 0  # these rows are set below
        for first in range(0, size, _ROWS):
            last = min(first + _ROWS, size)
            upper[first:last, first:].addmm_(swept[first:last], panel[first:].T, alpha=-1)
        upper[:start, start:stop] = swept[:start]
        upper[start:stop, stop:] = swept[stop:].T
        upper[start:stop, start:stop] = -inverse
    upper.neg_()
    return True


def symmetric_rows(upper: Tensor, start: int, stop: int) -> Tensor:
    """Rows start..stop − 1, in whole, of the symmetric matrix of which ``upper`` is right on and above the diagonal.

    >>> symmetric_rows(torch.tensor([[1, 2, 3], [0, 4, 5], [0, 0, 6]]), 1, 3)
    tensor([[2, 4, 5],
            [3, 5, 6]])
    """
    return torch.cat([upper[:start, start:stop].T, _square(upper, start, stop), upper[start:stop, stop:]], dim=1)


def _square(upper: Tensor, start: int, stop: int) -> Tensor:
    """A block on the diagonal, in whole."""
    square = upper[start:stop, start:stop].triu()
    return square + square.triu(1).T
