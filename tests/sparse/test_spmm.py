"""spmm: by hand, against the definition, against PyG's LGConv, its gradient."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import LGConv

from graphrec.errors import UsageError
from graphrec.sparse import CSR, spmm, symmetric_normalize
from tests.sparse.graphs import BACKENDS, assert_close, five_nodes, generator, random_graph


@pytest.mark.parametrize("backend", BACKENDS)
def test_five_nodes_by_hand(backend: str) -> None:
    x = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]])
    out = spmm(five_nodes(), x, backend=backend)
    assert out.flatten().tolist() == [1 * 10 + 2 * 100, 3 * 1, 0, 4 * 1 + (5 + 6) * 1000, 0]
    counted = spmm(five_nodes().with_value(None), x, backend=backend)
    assert counted.flatten().tolist() == [10 + 100, 1, 0, 1 + 1000 + 1000, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 7, 64, 100])
@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_the_definition(backend: str, width: int, dtype: torch.dtype) -> None:
    csr = random_graph(90, 70, 2000)
    x = torch.randn(70, width, generator=generator(), dtype=dtype, requires_grad=True)
    g = torch.randn(90, width, generator=generator(1), dtype=dtype)
    for graph in (csr, csr.with_value(None)):
        ours, expected = spmm(graph, x, backend=backend), spmm(graph, x, backend="reference")
        assert_close(ours, expected)
        assert_close(*(torch.autograd.grad(out, x, g)[0] for out in (ours, expected)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_plus_is_added_and_passes_its_gradient_on(backend: str) -> None:
    csr = random_graph(90, 70, 2000)
    x = torch.randn(70, 67, generator=generator(), requires_grad=True)  # one whole tile of columns, and 3 more
    plus = torch.randn(90, 67, generator=generator(1), requires_grad=True)
    g = torch.randn(90, 67, generator=generator(2))
    ours, expected = spmm(csr, x, plus=plus, backend=backend), spmm(csr, x, backend="reference") + plus
    assert_close(ours, expected)
    for mine, theirs in zip(*(torch.autograd.grad(out, [x, plus], g) for out in (ours, expected)), strict=True):
        assert_close(mine, theirs)
    with pytest.raises(UsageError, match=r"plus must have shape \[90, 67\], got \[70, 67\]"):
        spmm(csr, x, plus=x, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("num_rows", "num_cols", "num_edges"), [(1, 1, 0), (1, 1, 3), (0, 4, 0), (4, 2, 0), (1, 9, 500)]
)
def test_odd_graphs(backend: str, num_rows: int, num_cols: int, num_edges: int) -> None:
    csr = random_graph(num_rows, num_cols, num_edges)
    x = torch.randn(num_cols, 3, generator=generator(), requires_grad=True)
    out = spmm(csr, x, backend=backend)
    assert_close(out, spmm(csr, x, backend="reference"))
    assert torch.autograd.grad(out.sum(), x)[0].shape == (num_cols, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_lgconv_is_the_product_with_the_normalized_graph(backend: str) -> None:
    source = generator()
    pairs = torch.randint(40, (2, 300), generator=source)
    edge_index = torch.cat([pairs, pairs.flip(0)], dim=1).unique(dim=1)
    x = torch.randn(40, 16, generator=source)
    normalized = symmetric_normalize(CSR.from_pairs(edge_index[1], edge_index[0], 40, 40))
    assert_close(spmm(normalized, x, backend=backend), LGConv()(x, edge_index))


def test_gradient_of_a_symmetric_graph_needs_no_transpose() -> None:
    path = symmetric_normalize(CSR.from_pairs(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), 3, 3))
    x = torch.randn(3, 2, generator=generator(), requires_grad=True)
    g = torch.randn(3, 2, generator=generator(1))
    (gradient,) = torch.autograd.grad(spmm(path, x), x, g)
    assert_close(gradient, spmm(path, g, backend="reference"))
    assert "transpose" not in path.__dict__


def test_nothing_dense_is_saved_for_backward() -> None:
    csr, saved = random_graph(50, 50, 400), []
    x = torch.randn(50, 8, generator=generator(), requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        spmm(csr, x)
    assert saved and all(tensor.dim() == 1 for tensor in saved)


def test_gradcheck_to_the_second_order() -> None:
    csr = random_graph(6, 5, 14)
    x = torch.randn(5, 9, generator=generator(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: spmm(csr, x), x)
    assert torch.autograd.gradgradcheck(lambda x: spmm(csr, x), x)


def test_strided_input() -> None:
    csr = random_graph(20, 30, 200)
    x = torch.randn(11, 30, generator=generator()).T
    assert_close(spmm(csr, x), spmm(csr, x.contiguous(), backend="reference"))


def test_half_precision_falls_back_to_the_definition() -> None:
    csr = five_nodes().with_value(None)
    assert spmm(csr, torch.ones(5, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_not_a_number_passes_through() -> None:
    x = torch.ones(5, 1)
    x[1] = torch.nan
    assert spmm(five_nodes(), x).isnan().flatten().tolist() == [True, False, False, False, False]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"x must have shape \[5, \*\], got \[4, 2\]"):
        spmm(five_nodes(), torch.ones(4, 2))
    with pytest.raises(UsageError, match=r"x must have shape \[5, \*\], got \[5\]"):
        spmm(five_nodes(), torch.ones(5))
    with pytest.raises(UsageError, match=r"x is torch\.int64"):
        spmm(five_nodes(), torch.ones(5, 2, dtype=torch.int64))
