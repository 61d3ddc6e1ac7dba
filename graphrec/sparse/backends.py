"""Which backend computes an operation: asked for by name, or by the tensor's device and type."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from graphrec.errors import BackendError, UnknownNameError, nearest
from graphrec.sparse import triton

BACKENDS = ("cpu", "cuda", "triton", "reference", "scatter")

_TYPES = {
    ("spmm", "cpu"): (torch.float32, torch.float64, torch.bfloat16),
    ("spmm", "cuda"): (torch.float32, torch.float64, torch.bfloat16),
    ("spmm", "triton"): (torch.float32, torch.bfloat16),
    ("sparse_product", "cpu"): (torch.float32,),
    ("attend", "cpu"): (torch.float32, torch.float64),
    ("attend", "triton"): (torch.float32, torch.bfloat16),
}

_chosen: list[str | None] = [None]


def available_backends() -> list[str]:
    """The backends that can run here.

    ``cpu`` holds compiled kernels for CPU tensors, ``triton`` those for CUDA tensors (and, under Triton's interpreter,
    slow ones for CPU tensors), ``cuda`` torch's own CSR product for CUDA tensors (``spmm`` alone), ``reference`` the
    definitions in plain torch on any device, ``scatter`` torch-scatter where it is installed.
    """
    on_gpu = torch.cuda.is_available()
    there = {
        "cuda": on_gpu,
        "triton": triton.available(torch.device("cuda" if on_gpu else "cpu")),
        "scatter": importlib.util.find_spec("torch_scatter") is not None,
    }
    return [name for name in BACKENDS if there.get(name, True)]


def set_backend(name: str | None) -> None:
    """Use one backend for every call that names none; None lets each call choose by device.

    Raises:
        UsageError: an unknown name.
    """
    _chosen[0] = None if name is None else _known(name)


def pick(backend: str | None, tensor: Tensor, operation: str, on_gpu: str) -> str:
    """The backend asked for here, asked for by ``set_backend``, or fitting the tensor's device and type."""
    name = backend if backend is not None else _chosen[0]
    if name is None:
        name = {"cpu": "cpu", "cuda": on_gpu}.get(tensor.device.type, "reference")
        return name if _runs(name, tensor, operation) else "reference"
    _known(name)
    if name in ("reference", "scatter") or _runs(name, tensor, operation):
        return name
    if not any(operation == op and name == other for op, other in _TYPES):
        raise BackendError(f"the {name} backend has no {operation}", "leave backend out")
    raise BackendError(f"the {name} backend cannot take {tensor.dtype} on {tensor.device}", "leave backend out")


def _runs(name: str, tensor: Tensor, operation: str) -> bool:
    """Whether a backend with kernels can take a tensor."""
    there = triton.available(tensor.device) if name == "triton" else name == tensor.device.type
    return there and tensor.dtype in _TYPES.get((operation, name), ())


def _known(name: str) -> str:
    if name not in BACKENDS:
        raise UnknownNameError(f"unknown backend {name!r}; there are {', '.join(BACKENDS)}", nearest(name, BACKENDS))
    return name
