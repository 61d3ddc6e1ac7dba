"""What the operations and the graph ask of their arguments, each with an error that names the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphrec.errors import ArrayError, UnknownNameError, nearest
from graphrec.sparse.terms import Terms

if TYPE_CHECKING:
    from graphrec.sparse.csr import CSR

SCORES = ("dot", "additive", "v2")


def check(condition: bool, message: str) -> None:
    if not condition:
        raise ArrayError(message)


def check_tensor(name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device) -> None:
    """One dimension, of a type and on a device."""
    check(tensor.dtype == dtype, f"{name} must be {dtype}, got {tensor.dtype}")
    check(tensor.dim() == 1, f"{name} must have one dimension, got shape {list(tensor.shape)}")
    check(tensor.device == device, f"{name} is on {tensor.device}, rowptr on {device}")


def check_range(name: str, numbers: Tensor, size: int) -> None:
    """Integers in [0, size)."""
    if numbers.is_floating_point():
        raise ArrayError(f"{name} must be integers, got {numbers.dtype}")
    if len(numbers):
        low, high = (int(bound) for bound in numbers.aminmax())
        if low < 0 or high >= size:
            raise ArrayError(f"{name} must lie in [0, {size}), got {low}..{high}")


def check_terms(csr: CSR, query: Tensor, key: Tensor, score: str, terms: Terms) -> None:
    if score not in SCORES:
        raise UnknownNameError(f"unknown score {score!r}; there are {', '.join(SCORES)}", nearest(score, SCORES))
    if (terms.vector is None) != (score == "dot"):
        raise ArrayError(f"score {score!r} {'takes no' if score == 'dot' else 'needs a'} vector")
    if terms.scale is not None and score != "dot":
        raise ArrayError(f"score {score!r} takes no scale")
    check_shape("query", query, (csr.num_rows, None, None))
    _, heads, width = query.shape
    check_shape("key", key, (csr.num_cols, heads, width))
    shapes = {
        "vector": (heads, width),
        "scale": (heads,),
        "relation_key": (None, heads, width),
        "bias": (csr.num_cols, heads),
        "relation_bias": (None, heads),
    }
    present = {name: tensor for name, tensor in terms._asdict().items() if tensor is not None}
    for name, tensor in present.items():
        check_shape(name, tensor, shapes[name])
    check_alike(csr, query=query, key=key, **present)
    for name in {"relation_key", "relation_bias"} & present.keys():
        if csr.edge_type is None:
            raise ArrayError(f"{name} needs a graph with edge types")
        if len(present[name]) < csr.num_types:
            raise ArrayError(f"{name} has {len(present[name])} relations, the graph {csr.num_types}")


def check_shape(name: str, tensor: Tensor, expected: tuple[int | None, ...]) -> None:
    """None fits any size."""
    fits = tensor.dim() == len(expected) and all(
        wanted is None or size == wanted for size, wanted in zip(tensor.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if size is None else str(size) for size in expected)
        raise ArrayError(f"{name} must have shape [{wanted}], got {list(tensor.shape)}")


def check_alike(csr: CSR, **tensors: Tensor) -> None:
    """One floating type for all, on the graph's device."""
    first = next(iter(tensors))
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.dtype != tensors[first].dtype:
            raise ArrayError(
                f"{name} is {tensor.dtype}; {first} is {tensors[first].dtype}, and one float type is needed"
            )
        if tensor.device != csr.device:
            raise ArrayError(f"{name} is on {tensor.device}, the graph on {csr.device}")
