"""Compile the Triton kernels for a Hopper GPU on a machine without one, and print each kernel's name.

    python -m tests.sparse.compiling

The interpreter runs kernels that the compiler may refuse; this is the other half. Every launch is replaced by Triton's
own ``warmup``, which stops after the machine code.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from graphrec.sparse import triton
from graphrec.sparse.terms import Terms
from tests.sparse.graphs import attention_inputs, random_graph

NAMES = ("query", "key", "value", "vector", "scale", "relation_key", "bias", "relation_bias")


class Hopper:
    """What the compiler asks of a driver."""

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget  # here: doctests import this file where triton may be missing

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_all(dtype: torch.dtype, score: str, heads: int, score_width: int, dropout: float, relations: bool) -> None:
    """Both passes and the sparse product on a graph with hubs, values 16 wide."""
    csr = random_graph(30, 25, 300)
    turned, permutation = csr.transpose
    drawn = attention_inputs(
        csr, heads=heads, score_width=score_width, width=16, score=score, relations=relations, dtype=dtype
    )
    inputs: dict[str, Any] = {name: tensor.detach() for name, tensor in drawn.items()}
    if score == "dot":
        inputs["scale"] = torch.ones(heads, dtype=dtype)
    query, key, value, *terms = (inputs.get(name) for name in NAMES)
    graph, back = (csr.rowptr, csr.col, csr.edge_type), (turned.rowptr, turned.col, turned.edge_type, permutation)
    triton.spmm(csr.rowptr, csr.col, csr.value, value.flatten(1))
    out, lse = triton.attend(graph, query, key, value, Terms(*terms), dropout, 2**40 + 7)
    triton.attend_backward(graph, back, query, key, value, Terms(*terms), dropout, 7, out, lse, out, lse, [True] * 8)


def main() -> None:
    """Compile for the shapes that differ most."""
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    launch = JITFunction.run

    def compile_only(self: JITFunction, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        kernel = launch(self, *args, grid=grid, warmup=True, **options)
        assert kernel.asm["cubin"]
        sys.stdout.write(f"{kernel.name}\n")

    JITFunction.run = compile_only
    driver.set_active(Hopper())
    compile_all(torch.float32, "dot", heads=4, score_width=16, dropout=0.1, relations=True)
    compile_all(torch.bfloat16, "v2", heads=4, score_width=1, dropout=0.0, relations=False)
    compile_all(torch.float32, "v2", heads=3, score_width=7, dropout=0.1, relations=True)


if __name__ == "__main__":
    main()
