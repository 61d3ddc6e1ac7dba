"""Small graphs and random inputs that the tests of graphrec.sparse share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec.sparse import CSR, available_backends

# float32: sums of a few hundred terms; float64: the same, and a polynomial exp good to 3e-15
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in available_backends(), reason=f"{name} is not installed"))
    for name in ("cpu", "reference", "scatter")
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def five_nodes() -> CSR:
    """0 ← 1, 0 ← 2, 1 ← 0, 3 ← 0, 3 ← 3 (twice); 2 and 4 receive nothing. Types 0, 1, 0, 1, 0, 0; values 1 to 6."""
    return CSR.from_pairs(
        torch.tensor([0, 0, 1, 3, 3, 3]),
        torch.tensor([1, 2, 0, 0, 3, 3]),
        num_rows=5,
        num_cols=5,
        edge_type=torch.tensor([0, 1, 0, 1, 0, 0]),
        value=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    )


def random_graph(num_rows: int, num_cols: int, num_edges: int, num_types: int = 3, seed: int = 0) -> CSR:
    """A graph with a hub that receives a third of the edges, a hub that sends a third, and rows without edges."""
    source = generator(seed)
    row = torch.randint(max(num_rows, 1), (num_edges,), generator=source)
    col = torch.randint(num_cols, (num_edges,), generator=source)
    row[: num_edges // 3] = min(1, num_rows - 1)
    col[num_edges // 3 : 2 * num_edges // 3] = 0
    row[row == 2] = 0
    return CSR.from_pairs(
        row,
        col,
        num_rows,
        num_cols,
        edge_type=torch.randint(num_types, (num_edges,), generator=source),
        value=torch.rand(num_edges, generator=source),
    )


def attention_inputs(
    csr: CSR,
    *,
    heads: int = 2,
    score_width: int = 4,
    width: int = 3,
    score: str = "dot",
    relations: bool = True,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> dict[str, Any]:
    """Random arguments of ``attend``, each with a gradient."""
    source = generator(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype).requires_grad_()

    inputs: dict[str, Any] = {
        "query": draw(csr.num_rows, heads, score_width),
        "key": draw(csr.num_cols, heads, score_width),
        "value": draw(csr.num_cols, heads, width),
        "bias": draw(csr.num_cols, heads),
    }
    if score == "dot":
        inputs["scale"] = draw(heads)
    else:
        inputs["vector"] = draw(heads, score_width)
    if relations:
        inputs["relation_key"] = draw(csr.num_types, heads, score_width)
        inputs["relation_bias"] = draw(csr.num_types, heads)
    return inputs


def assert_close(ours: Tensor, expected: Tensor) -> None:
    """Equal within the type's tolerance, relative to the largest entry; infinities in the same places."""
    torch.testing.assert_close(ours.isfinite(), expected.isfinite())
    ours, expected = ours.nan_to_num(), expected.nan_to_num()
    scale = 1 + float(expected.detach().abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(ours, expected, rtol=0, atol=TOLERANCE[expected.dtype] * scale)
