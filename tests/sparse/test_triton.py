"""The Triton kernels against the definitions in float64: in Triton's interpreter, and on a GPU if asked for."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec.errors import UsageError
from graphrec.sparse import CSR, attend, spmm, triton
from graphrec.sparse.terms import Terms
from graphrec.sparse.triton import pieces
from tests.sparse.graphs import attention_inputs, five_nodes, generator, random_graph

pytest.importorskip("triton")
interpreted = pytest.mark.skipif(
    not triton.available(torch.device("cpu")), reason="TRITON_INTERPRET=1 was not set before the kernels were imported"
)
DEVICES = [pytest.param("cpu", marks=interpreted), pytest.param("cuda", marks=pytest.mark.gpu)]
on_devices = pytest.mark.parametrize("device", DEVICES)

NAMES = ("query", "key", "value", "vector", "scale", "relation_key", "bias", "relation_bias")
# Relative to a tensor's largest entry. float32: sums of a few hundred terms; bfloat16 has 8 bits, and both the inputs
# of the backward pass (out, the gradient) and its results are rounded.
TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 3e-2}


def assert_close(ours: Tensor, expected: Tensor, tolerance: float = TOLERANCE[torch.float32]) -> None:
    """Equal relative to the largest entry; infinities in the same places."""
    ours, expected = ours.detach().double().cpu(), expected.detach()
    assert ours.shape == expected.shape
    torch.testing.assert_close(ours.isfinite(), expected.isfinite())
    ours, expected = ours.nan_to_num(), expected.nan_to_num()
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * scale)


def arguments(csr: CSR, *, score: str, **sizes: Any) -> dict[str, Tensor]:
    """Random inputs in float64, rounded to bfloat16 so that both types hold them exactly."""
    inputs = attention_inputs(csr, score=score, **sizes)
    return {name: tensor.detach().bfloat16().double().requires_grad_() for name, tensor in inputs.items()}


def signs_for(out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of out and lse, the same on every device; none for −inf."""
    for_out = torch.arange(out.numel(), dtype=torch.float64).cos().bfloat16().double().view(out.shape)
    for_lse = torch.arange(lse.numel(), dtype=torch.float64).sin().view(lse.shape)
    return for_out, for_lse.where(lse.isfinite().cpu(), 0.0)


def defined(csr: CSR, inputs: dict[str, Tensor], dropout: float, seed: int) -> dict[str, Tensor]:
    """out, lse and gradients by the definition."""
    score = "v2" if "vector" in inputs else "dot"
    out, lse = attend(csr, **inputs, score=score, dropout=dropout, seed=seed, backend="reference")
    for_out, for_lse = signs_for(out, lse)
    loss = (out * for_out).sum() + (lse * for_lse)[lse.isfinite()].sum()
    gradients = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True, materialize_grads=True)
    return {"out": out, "lse": lse} | dict(zip(inputs, gradients, strict=True))


def computed(
    csr: CSR,
    inputs: dict[str, Tensor],
    device: str,
    dropout: float = 0.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    needs: Sequence[bool] = (True,) * 8,
) -> dict[str, Tensor]:
    """out, lse and gradients by the kernels; an entry for each of the eight gradients."""
    csr = csr.to(device)
    turned, permutation = csr.transpose
    tensors = {name: tensor.detach().to(device, dtype) for name, tensor in inputs.items()}
    query, key, value, *terms = (tensors.get(name) for name in NAMES)
    graph, back = (csr.rowptr, csr.col, csr.edge_type), (turned.rowptr, turned.col, turned.edge_type, permutation)
    out, lse = triton.attend(graph, query, key, value, Terms(*terms), dropout, seed)
    for_out, for_lse = signs_for(out, lse)
    saved = (for_out.to(device, dtype), for_lse.to(device).float(), out, lse)
    gradients = triton.attend_backward(
        graph, back, query, key, value, Terms(*terms), dropout, seed, *saved, needed=list(needs)
    )
    assert out.dtype == dtype and lse.dtype == torch.float32
    assert all(gradient.dtype == dtype for gradient in gradients)
    return {"out": out, "lse": lse} | dict(zip(NAMES, gradients, strict=True))


def assert_agrees(csr: CSR, inputs: dict[str, Tensor], device: str, dropout: float = 0.0, seed: int = 0) -> None:
    ours, expected = computed(csr, inputs, device, dropout, seed), defined(csr, inputs, dropout, seed)
    for name in expected:
        assert_close(ours[name], expected[name])
    for name in ours.keys() - expected.keys():
        assert ours[name].shape == (0,)


@on_devices
def test_five_nodes_by_hand(device: str) -> None:
    csr = five_nodes().to(device)  # row 0 receives from 1 and 2, row 1 from 0, row 3 from 3 twice and 0
    x = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]], device=device)
    out = triton.spmm(csr.rowptr, csr.col, csr.value, x)
    assert out.flatten().tolist() == [1 * 10 + 2 * 100, 3 * 1, 0, 4 * 1 + (5 + 6) * 1000, 0]
    assert triton.spmm(csr.rowptr, csr.col, None, x).flatten().tolist() == [10 + 100, 1, 0, 1 + 2 * 1000, 0]

    ones, logit = torch.ones(5, 1, 1, device=device), torch.arange(5.0, device=device)[:, None]
    terms = Terms(scale=torch.zeros(1, device=device), bias=logit)  # a scale of 0: the bias of the sender alone
    out, lse = triton.attend((csr.rowptr, csr.col, None), ones, ones, x[:, None], terms, 0.0, 0)
    a, b, c, d = (math.exp(j) for j in range(4))
    assert_close(
        out.flatten(), torch.tensor([(10 * b + 100 * c) / (b + c), 1, 0, (a + 2000 * d) / (a + 2 * d), 0]).double()
    )
    expected = [math.log(b + c), 0, -math.inf, math.log(a + 2 * d), -math.inf]
    assert_close(lse.flatten(), torch.tensor(expected).double())


@on_devices
@pytest.mark.parametrize("width", [1, 7, 64, 100, 256])
def test_spmm_agrees_with_the_definition(device: str, width: int) -> None:
    csr = random_graph(40, 30, 300)  # a hub of 100 edges, in several pieces
    x = torch.randn(30, width, generator=generator()).bfloat16()
    for graph in (csr, csr.with_value(None)):
        expected, moved = spmm(graph, x.double(), backend="reference"), graph.to(device)
        for dtype in (torch.float32, torch.bfloat16):
            out = triton.spmm(moved.rowptr, moved.col, moved.value, x.to(device, dtype))
            assert out.dtype == dtype
            assert_close(out, expected, TOLERANCE[dtype])
        half = x.to(device, torch.bfloat16)
        assert_close(triton.spmm(moved.rowptr, moved.col, moved.value, half, torch.float32), expected)


@on_devices
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("score", ["dot", "v2"])
@pytest.mark.parametrize(
    ("heads", "score_width", "width", "relations"), [(1, 1, 7, True), (3, 16, 5, True), (4, 3, 16, False)]
)
def test_attend_agrees_with_the_definition(
    device: str, heads: int, score_width: int, width: int, relations: bool, score: str, dropout: float
) -> None:
    csr = random_graph(20, 15, 240)  # hubs among receivers, senders and types
    inputs = arguments(csr, score=score, heads=heads, score_width=score_width, width=width, relations=relations)
    assert_agrees(csr, inputs, device, dropout, seed=2**40 + 7)


@on_devices
@pytest.mark.parametrize("width", [64, 100])
def test_wide_vectors(device: str, width: int) -> None:
    csr = random_graph(9, 8, 40)
    assert_agrees(csr, arguments(csr, score="v2", heads=2, score_width=width, width=256), device)


@on_devices
@pytest.mark.parametrize("score", ["dot", "v2"])
def test_bfloat16(device: str, score: str) -> None:
    csr = random_graph(12, 10, 150)
    inputs = arguments(csr, score=score, heads=2, score_width=4, width=8)
    ours = computed(csr, inputs, device, dropout=0.2, dtype=torch.bfloat16)
    for name, expected in defined(csr, inputs, 0.2, 0).items():
        assert_close(ours[name], expected, TOLERANCE[torch.bfloat16])


@on_devices
@pytest.mark.parametrize("given", [(), ("scale",), ("relation_key",), ("bias",), ("relation_bias",)])
def test_terms_are_optional(device: str, given: tuple[str, ...]) -> None:
    csr = random_graph(10, 12, 90)
    inputs = arguments(csr, score="dot")
    inputs = {name: inputs[name] for name in ("query", "key", "value", *given)}
    untyped = given in ((), ("scale",), ("bias",))
    assert_agrees(CSR(csr.rowptr, csr.col, csr.num_cols) if untyped else csr, inputs, device)


@on_devices
@pytest.mark.parametrize("score", ["dot", "v2"])
def test_only_what_is_needed_is_computed(device: str, score: str) -> None:
    csr = random_graph(8, 9, 80)
    inputs = arguments(csr, score=score)
    expected = defined(csr, inputs, 0.0, 0)
    for name in inputs:
        ours = computed(csr, inputs, device, needs=[other == name for other in NAMES])
        assert_close(ours[name], expected[name])
        assert all(ours[other].shape == (0,) for other in NAMES if other != name)


@on_devices
@pytest.mark.parametrize(
    ("num_rows", "num_cols", "num_edges"), [(1, 1, 0), (1, 1, 3), (0, 3, 0), (4, 2, 0), (1, 5, 300), (9, 1, 200)]
)
def test_odd_graphs(device: str, num_rows: int, num_cols: int, num_edges: int) -> None:
    csr = random_graph(num_rows, num_cols, num_edges, num_types=1)
    assert_agrees(csr, arguments(csr, score="dot"), device)


@on_devices
def test_a_hub_whose_slots_are_a_hub(device: str) -> None:
    csr = CSR.from_pairs(torch.zeros(5000, dtype=torch.int64), torch.arange(5000) % 7, 2, 7)
    cut = pieces.pieces_of(csr.rowptr)
    assert cut.num_slots == 79 and cut.hubs is not None and cut.hubs.num_slots == 2 and cut.hubs.hubs is not None
    inputs = arguments(csr, score="dot", heads=1, score_width=1, width=2, relations=False)
    assert_agrees(csr, inputs, device, dropout=0.5, seed=3)


@on_devices
def test_more_relations_than_the_graph_has(device: str) -> None:
    csr = random_graph(8, 9, 80)
    inputs = arguments(csr, score="v2")
    for name, count in (("relation_key", 5), ("relation_bias", 9)):
        extra = torch.ones(count - 3, *inputs[name].shape[1:], dtype=torch.float64)
        inputs[name] = torch.cat([inputs[name].detach(), extra]).requires_grad_()
    assert_agrees(csr, inputs, device)


@on_devices
@pytest.mark.parametrize("seed", [0, -1, 2**31, 2**62 + 5])
def test_dropout_takes_the_same_weights_as_the_definition(device: str, seed: int) -> None:
    csr = random_graph(6, 5, 60)
    inputs = arguments(csr, score="dot", heads=3, relations=False)
    for dropout in (0.1, 0.6):
        assert_agrees(csr, inputs, device, dropout, seed)


@on_devices
def test_a_masked_relation_has_no_weight(device: str) -> None:
    csr = five_nodes()
    inputs = arguments(csr, score="dot", relations=False)
    inputs["relation_bias"] = torch.tensor([[-math.inf] * 2, [0.0] * 2], dtype=torch.float64)
    ours = computed(csr, inputs, device)
    assert_close(ours["out"][0], inputs["value"][2])  # of row 0's two edges, only the one of type 1 counts
    assert_close(ours["out"][3], inputs["value"][0])
    assert ours["out"][1].tolist() == torch.zeros(2, 3).tolist()  # its only edge is masked
    assert all(ours[name].isfinite().all() for name in inputs)


@on_devices
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_large_logits_do_not_overflow(device: str, size: float) -> None:
    csr = random_graph(9, 9, 100)
    inputs = arguments(csr, score="dot")
    inputs["query"] = inputs["query"].detach() * size
    assert computed(csr, inputs, device)["out"].isfinite().all()


@on_devices
def test_not_a_number_passes_through(device: str) -> None:
    csr = five_nodes()
    inputs = arguments(csr, score="dot", relations=False)
    inputs["key"] = inputs["key"].detach().index_fill(0, torch.tensor([1]), math.nan)
    ours = computed(csr, inputs, device)
    assert ours["out"][0].isnan().all() and ours["lse"][0].isnan().all()
    assert not ours["out"][1:].isnan().any()


@on_devices
def test_strided_inputs_and_the_same_bytes(device: str) -> None:
    csr = random_graph(9, 8, 100)
    inputs = arguments(csr, score="v2")
    strided = {name: x.detach().movedim(0, -1).contiguous().movedim(-1, 0) for name, x in inputs.items()}
    assert not strided["query"].is_contiguous()
    first, second = computed(csr, inputs, device), computed(csr, strided, device)
    assert all(torch.equal(first[name], second[name]) for name in first)


@interpreted
def test_other_types_are_refused() -> None:
    csr = five_nodes()
    with pytest.raises(UsageError, match=r"x is torch\.float64; the triton backend takes float32 and bfloat16"):
        triton.spmm(csr.rowptr, csr.col, None, torch.ones(5, 2).double())
    with pytest.raises(UsageError, match=r"query is torch\.float16"):
        triton.attend((csr.rowptr, csr.col, None), *[torch.ones(5, 1, 1).half()] * 3, Terms(), 0.0, 0)


def test_pieces_hold_every_edge_once() -> None:
    csr = random_graph(300, 50, 6000)  # a hub of 2000 edges
    cut = pieces.pieces_of(csr.rowptr)
    edges = torch.cat([torch.arange(int(a), int(a + n)) for a, n in zip(cut.first, cut.count, strict=True)])
    rows = cut.row.long().repeat_interleave(cut.count)
    assert torch.equal(edges.sort().values, torch.arange(6000))
    assert torch.equal(rows, csr.row_index()[edges])
    assert cut.row.unique().tolist() == list(range(300))  # rows without edges are written too
    assert int(cut.count.max()) <= pieces.PIECE and torch.equal(cut.count, cut.count.sort(descending=True).values)
    hub = csr.degree > pieces.PIECE
    assert torch.equal(cut.slot >= 0, hub[cut.row.long()])
    assert sorted(cut.slot[cut.slot >= 0].tolist()) == list(range(cut.num_slots))
    assert cut.hubs is not None
    for first, count, row in zip(cut.hubs.first, cut.hubs.count, cut.hubs.row, strict=True):
        slots = torch.arange(int(first), int(first + count))
        assert (cut.row[(cut.slot[:, None] == slots).any(1)] == row).all()


def test_pieces_are_made_once_and_go_with_the_graph() -> None:
    gc.collect()
    before = len(pieces._pieces)
    rowptr = torch.tensor([0, 2, 3])
    assert pieces.pieces_of(rowptr) is pieces.pieces_of(rowptr)
    assert len(pieces._pieces) == before + 1
    del rowptr
    gc.collect()
    assert len(pieces._pieces) == before


def test_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.sparse.compiling"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    compiled = {"_sum_rows", "_attend", "senders_kernel", "receivers_kernel", "relations_kernel"}
    assert set(done.stdout.split()) == compiled


@pytest.mark.gpu
def test_a_cuda_graph_captures_both_passes() -> None:
    csr = random_graph(200, 150, 4000)
    inputs = arguments(csr, score="v2")
    moved = csr.to("cuda")
    turned, permutation = moved.transpose
    tensors = {name: tensor.detach().float().cuda() for name, tensor in inputs.items()}
    query, key, value, *terms = (tensors.get(name) for name in NAMES)
    graph = (moved.rowptr, moved.col, moved.edge_type)
    back = (turned.rowptr, turned.col, turned.edge_type, permutation)

    def call() -> list[Tensor]:
        out, lse = triton.attend(graph, query, key, value, Terms(*terms), 0.1, 5)
        return [
            *(out, lse, triton.spmm(moved.rowptr, moved.col, moved.value, value.flatten(1))),
            *triton.attend_backward(
                graph, back, query, key, value, Terms(*terms), 0.1, 5, out, torch.zeros_like(lse), out, lse, [True] * 8
            ),
        ]

    expected = call()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        found = call()
    captured.replay()
    assert all(torch.equal(mine, first) for mine, first in zip(found, expected, strict=True))
