"""spmm: by hand, against the definition, against PyG's LGConv, its gradient."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import LGConv

from graphrec.errors import UsageError
from graphrec.sparse import CSR, spmm, symmetric_normalize
from graphrec.sparse.cpu import memory
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
def test_chosen_rows_and_senders_by_hand(backend: str) -> None:
    rows, senders = torch.tensor([3, 0, 2]), torch.tensor([3, 1])
    x = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]])
    out = spmm(five_nodes(), x, rows=rows, backend=backend)
    assert out.flatten().tolist() == [4 * 1 + (5 + 6) * 1000, 1 * 10 + 2 * 100, 0]
    out = spmm(five_nodes(), x[senders], senders=senders, backend=backend)
    assert out.flatten().tolist() == [1 * 10, 0, 0, (5 + 6) * 1000, 0]
    plus = torch.tensor([[0.5], [0.25], [0.125]])
    out = spmm(five_nodes(), x[senders], plus=plus, rows=rows, senders=senders, backend=backend)
    assert out.flatten().tolist() == [(5 + 6) * 1000.5 - 5, 1 * 10.25, 0.125]


@pytest.mark.parametrize("valued", [True, False])
@pytest.mark.parametrize("width", [1, 67])
@pytest.mark.parametrize("backend", BACKENDS)
def test_chosen_rows_and_senders_agree_with_the_whole(backend: str, width: int, valued: bool) -> None:
    csr = random_graph(90, 70, 2000)
    csr = csr if valued else csr.with_value(None)
    rows, senders = torch.randperm(90, generator=generator())[:40], torch.randperm(70, generator=generator())[:30]
    x = torch.randn(70, width, generator=generator(1), requires_grad=True)
    only = torch.zeros(70, 1).index_fill(0, senders, 1.0)
    g = torch.randn(90, width, generator=generator(2))
    pairs = [
        (spmm(csr, x, rows=rows, backend=backend), spmm(csr, x, backend="reference")[rows], g[rows]),
        (spmm(csr, x[senders], senders=senders, backend=backend), spmm(csr, x * only, backend="reference"), g),
    ]
    for ours, expected, signs in pairs:
        assert_close(ours, expected)
        assert_close(*(torch.autograd.grad(out, x, signs)[0] for out in (ours, expected)))


@pytest.mark.parametrize("width", [1, 7, 64, 100, 256])
def test_bfloat16_is_rounded_once(width: int) -> None:
    csr = random_graph(90, 70, 2000)
    x = torch.randn(70, width, generator=generator()).bfloat16()
    plus = torch.randn(90, width, generator=generator(1)).bfloat16()
    exact = spmm(csr, x.double(), plus=plus.double())
    assert_close(spmm(csr, x, plus=plus.float(), dtype=torch.float32), exact.float())
    ours = spmm(csr, x, plus=plus)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), exact, rtol=2**-8, atol=1e-5)  # half a unit in the last place is 2⁻⁹
    torch.testing.assert_close(spmm(csr, x.float(), dtype=torch.bfloat16).double(), exact - plus, rtol=2**-8, atol=1e-5)


def test_bfloat16_ties_go_to_even_and_what_is_no_number_stays() -> None:
    one = CSR.from_pairs(torch.arange(6), torch.arange(6), 6, 6)
    tie = 1 + 2**-8  # between 1 and 1 + 2⁻⁷
    x = torch.tensor([[tie], [tie + 2**-7], [torch.nan], [torch.inf], [-torch.inf], [3.4e38]])
    assert_close(spmm(one, x, dtype=torch.bfloat16).float(), x.bfloat16().float())
    assert spmm(one, x, dtype=torch.bfloat16).isnan().flatten().tolist() == [False, False, True, False, False, False]


def test_gradient_passes_from_one_type_to_another() -> None:
    csr = random_graph(90, 70, 2000)
    x = torch.randn(70, 8, generator=generator()).bfloat16().requires_grad_()
    plus = torch.randn(90, 8, generator=generator(1), requires_grad=True)
    g = torch.randn(90, 8, generator=generator(2)).bfloat16().float()
    grad_x, grad_plus = torch.autograd.grad(spmm(csr, x, plus=plus, dtype=torch.float32), [x, plus], g)
    assert grad_x.dtype == torch.bfloat16 and torch.equal(grad_plus, g)
    expected = spmm(csr.transpose[0], g.double())
    torch.testing.assert_close(grad_x.double(), expected, rtol=2**-8, atol=1e-5)


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


def test_other_types_fall_back_to_the_definition() -> None:
    csr = five_nodes().with_value(None)
    assert spmm(csr, torch.ones(5, 2, dtype=torch.float16)).dtype == torch.float16


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


def test_rows_senders_and_types_that_do_not_fit_are_refused() -> None:
    for name in ("rows", "senders"):
        with pytest.raises(UsageError, match=rf"{name} must lie in \[0, 5\), got 0\.\.5"):
            spmm(five_nodes(), torch.ones(2 if name == "senders" else 5, 1), **{name: torch.tensor([0, 5])})
    with pytest.raises(UsageError, match=r"x must have shape \[2, \*\], got \[5, 1\]"):
        spmm(five_nodes(), torch.ones(5, 1), senders=torch.tensor([0, 4]))
    with pytest.raises(UsageError, match=r"plus is torch\.float32; the result is torch\.bfloat16"):
        spmm(five_nodes(), torch.ones(5, 1), plus=torch.ones(5, 1), dtype=torch.bfloat16)
    with pytest.raises(UsageError, match="float64 goes with float64 alone"):
        spmm(five_nodes(), torch.ones(5, 1), dtype=torch.float64)


def test_memory_of_results_is_used_again_once_nobody_holds_them() -> None:
    csr, x = random_graph(9000, 9000, 100), torch.ones(9000, 64)
    first = spmm(csr, x)
    place, view = first.data_ptr(), first[5:]
    del first
    assert spmm(csr, x).data_ptr() != place  # the view still holds it
    del view
    assert spmm(csr, x).data_ptr() == place


def test_results_of_about_one_size_share_memory() -> None:
    csr, x = random_graph(9000, 9000, 100), torch.ones(9000, 64)
    spmm(csr, x)
    before = sum(map(len, memory._free.values()))
    for rows in range(8000, 8200, 20):
        assert spmm(csr, x, rows=torch.arange(rows)).shape == (rows, 64)
    assert sum(map(len, memory._free.values())) <= before + 2


def test_too_much_kept_memory_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 5 << 20)
    csr, x = random_graph(9000, 9000, 100), torch.ones(9000, 64)
    held = [spmm(csr, x) for _ in range(4)]
    assert len(held) == 4
    held.clear()
    assert sum(size * len(arrays) for size, arrays in memory._free.items()) <= 5 << 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_result_is_not_rounded_to_the_type_of_what_is_read(backend: str) -> None:
    csr, x = random_graph(90, 70, 2000), torch.randn(70, 8, generator=generator()).bfloat16()
    assert_close(spmm(csr, x, dtype=torch.float32, backend=backend), spmm(csr, x.float(), backend="reference"))
