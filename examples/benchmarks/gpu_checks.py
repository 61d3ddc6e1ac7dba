"""Each Triton kernel against the definition in float64, on one device: what gpu.py runs before it times anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.sparse import CSR, attend, spmm

NAMES = ("query", "key", "value", "vector", "scale", "relation_key", "bias", "relation_bias")
# relative to a tensor's largest entry; in bfloat16 the outputs, the gradients that come in and those that go out round
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


@dataclass(frozen=True)
class Check:
    """A kernel's results beside the definition's.

    Args:
        what: the kernel and its inputs.
        dtype: of storage.
        worst: the result that differs most.
        error: the largest difference, relative to the largest entry of its tensor.
        tolerance: what ``error`` may be.
    """

    what: str
    dtype: str
    worst: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # an error that is not a number fails


@dataclass(frozen=True)
class Case:
    """A shape of attention: H heads, Dq and D, and the options."""

    score: str
    heads: int
    score_width: int
    width: int
    dropout: float

    def __str__(self) -> str:
        return f"{self.score}, {self.heads} heads of {self.score_width} and {self.width}, dropout {self.dropout}"


CASES = (
    Case("dot", 4, 16, 16, 0.0),
    Case("dot", 3, 7, 100, 0.3),
    Case("v2", 4, 1, 16, 0.0),
    Case("v2", 4, 16, 16, 0.3),
    Case("v2", 1, 64, 256, 0.0),
)


def random_graph(num_rows: int, num_cols: int, num_edges: int, num_types: int = 3) -> CSR:
    """A typed, valued graph; a third of the edges goes to one hub, a third comes from another, row 0 has none."""
    source = torch.Generator().manual_seed(0)
    row = torch.randint(1, num_rows, (num_edges,), generator=source)
    col = torch.randint(num_cols, (num_edges,), generator=source)
    row[: num_edges // 3] = 1
    col[num_edges // 3 : 2 * num_edges // 3] = 0
    kind = torch.randint(num_types, (num_edges,), generator=source)
    return CSR.from_pairs(row, col, num_rows, num_cols, kind, torch.rand(num_edges, generator=source))


def check_all(csr: CSR, device: torch.device, cases: tuple[Case, ...] = CASES) -> list[Check]:
    """The sparse product at several widths, and attention with the gradients of everything it takes."""
    csr = csr.to(device)
    types = (torch.float32, torch.bfloat16)
    products = [_check_spmm(csr, width, dtype) for width in (1, 7, 64, 100, 256) for dtype in types]
    return products + [_check_attend(csr, case, dtype) for case in cases for dtype in types]


def _check_spmm(csr: CSR, width: int, dtype: torch.dtype) -> Check:
    x = _draw(csr.num_cols, width).to(csr.device)
    ours = spmm(csr, x.to(dtype), backend="triton")
    return _check(f"spmm, width {width}", dtype, {"out": (ours, spmm(csr, x, backend="reference"))})


def _check_attend(csr: CSR, case: Case, dtype: torch.dtype) -> Check:
    inputs = _inputs(csr, case)
    for_out = _draw(csr.num_rows, case.heads, case.width, seed=1).to(csr.device)
    for_lse = _draw(csr.num_rows, case.heads, seed=2).to(csr.device)
    filled = csr.degree > 0  # elsewhere lse is −inf
    for_lse[~filled] = 0

    out, lse = attend(csr, **inputs, score=case.score, dropout=case.dropout, seed=5, backend="reference")
    loss = (out * for_out).sum() + (lse * for_lse)[filled].sum()
    expected = dict(zip(inputs, torch.autograd.grad(loss, list(inputs.values())), strict=True))

    tensors = {name: tensor.detach().to(dtype).requires_grad_() for name, tensor in inputs.items()}
    options = {"score": case.score, "dropout": case.dropout, "seed": 5, "backend": "triton"}
    our_out, our_lse = attend(csr, **tensors, **options)
    incoming = [for_out.to(dtype), for_lse.to(our_lse.dtype)]
    gradients = torch.autograd.grad([our_out, our_lse], list(tensors.values()), incoming)
    results = {"out": (our_out, out), "lse": (our_lse[filled], lse[filled])}
    ours = dict(zip(tensors, gradients, strict=True))
    results |= {f"∂{name}": (ours[name], gradient) for name, gradient in expected.items()}
    return _check(f"attend, {case}", dtype, results)


def _inputs(csr: CSR, case: Case) -> dict[str, Tensor]:
    heads, width, score_width = case.heads, case.width, case.score_width
    shapes = {
        "query": (csr.num_rows, heads, score_width),
        "key": (csr.num_cols, heads, score_width),
        "value": (csr.num_cols, heads, width),
        **({"vector": (heads, score_width)} if case.score == "v2" else {"scale": (heads,)}),
        "relation_key": (csr.num_types, heads, score_width),
        "bias": (csr.num_cols, heads),
        "relation_bias": (csr.num_types, heads),
    }
    return {
        name: _draw(*shape, seed=number).to(csr.device).requires_grad_()
        for number, (name, shape) in enumerate(shapes.items())
    }


def _draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers of deviation ½, in float64, that bfloat16 holds exactly."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16().double() / 2


def _check(what: str, dtype: torch.dtype, results: dict[str, tuple[Tensor, Tensor]]) -> Check:
    errors = {name: _error(ours.detach(), expected.detach()) for name, (ours, expected) in results.items()}
    worst = max(errors, key=lambda name: (math.isnan(errors[name]), errors[name]))
    return Check(what, str(dtype).removeprefix("torch."), worst, errors[worst], TOLERANCE[dtype])


def _error(ours: Tensor, expected: Tensor) -> float:
    return float((ours.double() - expected).abs().max()) / max(1.0, float(expected.abs().max()))
