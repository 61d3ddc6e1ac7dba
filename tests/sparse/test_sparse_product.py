"""sparse_product: by hand, against scipy, in blocks, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from graphrec.errors import UsageError
from graphrec.sparse import CSR, sparse_product
from tests.sparse.graphs import BACKENDS, assert_close, five_nodes, random_graph


def as_scipy(csr: CSR) -> sparse.csr_array:
    value = torch.ones(csr.num_edges) if csr.value is None else csr.value
    return sparse.csr_array((value.numpy(), csr.col.numpy(), csr.rowptr.numpy()), shape=(csr.num_rows, csr.num_cols))


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend: str) -> None:
    left = CSR.from_pairs(torch.tensor([0, 2, 2]), torch.tensor([3, 0, 3]), 3, 5, value=torch.tensor([2.0, 10.0, 1.0]))
    product = sparse_product(left, five_nodes(), backend=backend)
    of_three = [4, 0, 0, 5 + 6, 0]  # row 3 of the five nodes; row 0 is [0, 1, 2, 0, 0]
    assert product.tolist() == [[2 * x for x in of_three], [0] * 5, [4, 10 * 1, 10 * 2, 5 + 6, 0]]
    counted = sparse_product(left.with_value(None), five_nodes().with_value(None), backend=backend)
    assert counted.tolist() == [[1, 0, 0, 2, 0], [0] * 5, [1, 1, 1, 2, 0]]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_scipy(backend: str, threads: int) -> None:
    left, right = random_graph(300, 40, 3000), random_graph(40, 70, 900, seed=1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for one, other in ((left, right), (left.with_value(None), right), (left, right.with_value(None))):
            expected = torch.from_numpy((as_scipy(one) @ as_scipy(other)).toarray())
            assert_close(sparse_product(one, other, backend=backend), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_nothing_to_multiply(backend: str, shape: tuple[int, int, int]) -> None:
    rows, middle, cols = shape
    nothing = np.empty(0, np.int64)
    left, right = CSR.from_pairs(nothing, nothing, rows, middle), CSR.from_pairs(nothing, nothing, middle, cols)
    product = sparse_product(left, right, backend=backend)
    assert product.shape == (rows, cols) and not product.any()


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="left has 5 columns, right 3 rows"):
        sparse_product(five_nodes(), five_nodes().take_rows(torch.tensor([0, 1, 2])))
    with pytest.raises(UsageError, match="no sparse_product"):
        sparse_product(five_nodes(), five_nodes(), backend="triton")
