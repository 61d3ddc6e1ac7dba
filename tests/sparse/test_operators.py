"""What torch asks of an operator, and what we promise: opcheck, the same bytes, threads, forks, backends."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from graphrec.errors import MissingExtraError, UsageError
from graphrec.sparse import CSR, attend, available_backends, scatter, set_backend, spmm
from graphrec.sparse.cpu.shapes import passes
from graphrec.sparse.cpu.threads import for_each_block, num_blocks
from graphrec.sparse.cpu.vector import _sources
from graphrec.sparse.terms import Terms
from tests.sparse.graphs import attention_inputs, five_nodes, generator, random_graph

# opcheck of torch 2.14 reads the gradients of the copies it makes
opcheck_warns = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@opcheck_warns
@pytest.mark.parametrize("score", ["dot", "v2"])
def test_opcheck_attend(score: str) -> None:
    csr = five_nodes()
    inputs = attention_inputs(csr, score=score)
    turned, permutation = csr.transpose
    terms = [inputs.get(name) for name in ("query", "key", "value", *Terms._fields)]
    graph = [csr.rowptr, csr.col, csr.edge_type]
    back = [turned.rowptr, turned.col, turned.edge_type, permutation]
    torch.library.opcheck(torch.ops.graphrec.attend.default, (*terms, *graph, *back, 0.2, 5, "cpu"))

    out, lse = torch.zeros(5, 2, 3, dtype=torch.float64), torch.zeros(5, 2, dtype=torch.float64)
    given = [None if term is None else term.detach() for term in terms]
    arguments = (out + 1, lse + 1, out, lse, *given, *graph, *back, 0.2, 5, "cpu")
    for needed in ([True] * 8, [number % 2 == 0 for number in range(8)]):
        torch.library.opcheck(torch.ops.graphrec.attend_backward.default, (*arguments, needed))


@opcheck_warns
@pytest.mark.parametrize("valued", [True, False])
def test_opcheck_spmm(valued: bool) -> None:
    csr = five_nodes() if valued else five_nodes().with_value(None)
    turned, _ = csr.transpose
    x = torch.randn(5, 3, generator=generator(), requires_grad=True)
    graphs = (csr.rowptr, csr.col, csr.value, 5, turned.rowptr, turned.col, turned.value, torch.float32)
    some = torch.tensor([4, 0])
    for plus in (None, torch.ones(5, 3, requires_grad=True)):
        torch.library.opcheck(torch.ops.graphrec.spmm.default, (x, plus, None, None, *graphs, "cpu"))
    torch.library.opcheck(torch.ops.graphrec.spmm.default, (x, None, some, None, *graphs, "cpu"))
    few = x.detach()[:2].requires_grad_()
    torch.library.opcheck(torch.ops.graphrec.spmm.default, (few, None, None, some, *graphs, "cpu"))


def all_results(csr: CSR) -> list[Tensor]:
    x = torch.randn(csr.num_cols, 20, generator=generator(), requires_grad=True)
    product = spmm(csr, x)
    inputs = attention_inputs(csr, score="v2", dtype=torch.float32)
    out, lse = attend(csr, **inputs, score="v2", dropout=0.1)
    return [product, *torch.autograd.grad(product.sum(), x), out, lse, *torch.autograd.grad(out.sum(), inputs.values())]


def test_same_bytes_with_any_number_of_threads(threads: None) -> None:
    csr = random_graph(2000, 3000, 30_000)
    assert num_blocks(csr.rowptr.numpy()) > 3
    torch.set_num_threads(1)
    expected = all_results(csr)
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        assert all(torch.equal(mine, first) for mine, first in zip(all_results(csr), expected, strict=True))


def test_concurrent_calls() -> None:
    csr = random_graph(500, 500, 20_000)
    x = torch.randn(500, 8, generator=generator())
    expected = spmm(csr, x)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(out, expected) for out in pool.map(lambda _: spmm(csr, x), range(20)))


def in_child(csr: CSR, x: Tensor, queue: multiprocessing.queues.Queue) -> None:
    queue.put(spmm(csr, x)[1].tolist())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_works_after_a_fork(threads: None) -> None:
    torch.set_num_threads(2)
    csr, x = random_graph(500, 500, 20_000), torch.ones(500, 2)
    expected = spmm(csr, x)[1].tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(csr, x, queue), daemon=True)
    child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.kill()


def test_blocks_hold_about_as_many_edges() -> None:
    csr = random_graph(3000, 3000, 60_000)
    rows: list[tuple[int, int]] = []
    for_each_block(
        lambda _block, first, last, _scratch: rows.append((int(first), int(last))), csr.rowptr.numpy(), tuple
    )
    rows.sort()
    assert (rows[0][0], rows[-1][1]) == (0, 3000)
    assert all(before[1] == after[0] for before, after in pairwise(rows))
    work = [int(csr.rowptr[last] - csr.rowptr[first]) + last - first for first, last in rows]
    share = (60_000 + 3000) / len(rows)
    assert sorted(work)[-2] < 2 * share  # apart from the block with the hub


def test_an_error_in_a_block_reaches_the_caller() -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each_block(fail, random_graph(500, 500, 20_000).rowptr.numpy(), tuple)


def test_compiled_code_on_disk_is_keyed_by_all_kernel_sources() -> None:
    csr = five_nodes()
    attend(csr, **attention_inputs(csr))
    kernel = passes(csr.num_edges, 2, 4, 3, is_v2=False).attend
    library = next(iter(kernel.overloads.values())).library
    assert _sources in kernel._cache._index_key(kernel.signatures[0], library.codegen)


def test_backends_by_name() -> None:
    csr, x = five_nodes(), torch.ones(5, 1)
    assert available_backends()[0] == "cpu"
    assert {"reference", "triton"} <= set(available_backends())
    set_backend("reference")
    try:
        assert "graphrec_spmm" not in spmm(csr, x.requires_grad_()).grad_fn.name()
    finally:
        set_backend(None)
    assert "graphrec_spmm" in spmm(csr, x).grad_fn.name()
    with pytest.raises(UsageError, match="unknown backend 'gpu'"):
        set_backend("gpu")
    with pytest.raises(UsageError, match=r"the cuda backend cannot take torch\.float32 on cpu"):
        spmm(csr, x, backend="cuda")


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphrec\[scatter\]'"):
        spmm(five_nodes(), torch.ones(5, 1), backend="scatter")


def test_scatter_works_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_scatter")
    csr = random_graph(40, 50, 900)
    inputs = attention_inputs(csr)
    whole = attend(csr, **inputs, backend="scatter")
    monkeypatch.setattr(scatter, "BLOCK_BYTES", 10_000)
    assert len(list(scatter._row_blocks(csr, 1000))) > 5
    for mine, theirs in zip(attend(csr, **inputs, backend="scatter"), whole, strict=True):
        torch.testing.assert_close(mine, theirs)
