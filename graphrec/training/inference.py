"""Layer-wise inference: final vectors of all nodes, a layer at a time, in blocks of rows.

N nodes, W width, K layers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import OutputError
from graphrec.files import map_array
from graphrec.graph import Block
from graphrec.models import EmbeddingModel
from graphrec.sampling import Fanout, blocks_of
from graphrec.sparse import CSR
from graphrec.training.steps import sampler_for

BLOCK_EDGES = 2**21
"""Edges of one block; a row with more is a block by itself."""
BLOCK_ROWS = 2**18
LARGE = 2**24
"""Edges from which a graph is propagated a layer and a block at a time."""


@torch.no_grad()
def infer_vectors(model: EmbeddingModel, folder: Path | None = None, *, block_edges: int = BLOCK_EDGES) -> Tensor:
    """Final vectors of all nodes through ``model.receive``: what ``propagate`` gives, in little memory.

    A layer needs all vectors of the layer before and the edges of one block. With a folder, layers lie in files there
    that lose their names at once: the room on disk is free again when the result is. What is written is not mapped, so
    that it does not count as the process's memory.

    Args:
        model: ready to score; one without layers or a ``receive`` of its own is propagated as a whole.
        folder: where there is room for K layers; None keeps them in memory.
        block_edges: edges of a block, ≥ 1.

    Returns:
        float32 [N, W], the mean over the layers; memory-mapped where there is a folder.

    Raises:
        OutputError: the folder has no room.
    """
    if model.settings.layers == 0 or type(model).receive is EmbeddingModel.receive:
        return model.propagate()
    shape = (model.graph.num_nodes, model.settings.width)
    if folder is None:
        return _propagate(model, block_edges, lambda name: _Rows(shape))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".layers.", suffix=".tmp") as scratch:
            return _propagate(model, block_edges, lambda name: _RowFile(shape, Path(scratch) / f"{name}.npy"))
    except OSError as error:
        raise OutputError(f"cannot write the layers of {model.name} in {folder}: {error}", "make room there") from None


def settle_vectors(model: EmbeddingModel, folder: Path | None = None) -> None:
    """Compute a model's final vectors layer by layer, if its graph is large and it has none yet, and leave them there.

    Args:
        model: ready to score.
        folder: as in ``infer_vectors``.
    """
    if not model.has_vectors and model.graph.adjacency.num_edges >= LARGE:
        model.put_vectors(infer_vectors(model, folder))


@torch.no_grad()
def embed(model: EmbeddingModel, nodes: Tensor, fanout: Fanout, *, seed: int = 0, batch_size: int = 1024) -> Tensor:
    """Final vectors of some nodes from samples of their neighbours, without the rest of the graph.

    Args:
        model: ready to score, with a ``receive`` of its own, on the CPU.
        nodes: int64 [n], distinct.
        fanout: as ``sampler_for`` takes it; with all neighbours the vectors are those of ``propagate``.
        seed: of the draws.
        batch_size: nodes that share a sample.

    Returns:
        float32 [n, W].

    Raises:
        UsageError: the fan-out does not fit the model or its graph.
    """
    sampler = sampler_for(model, fanout)
    vectors = torch.empty(len(nodes), model.settings.width)
    for rows in torch.arange(len(nodes)).split(batch_size):
        sample = sampler.sample(nodes[rows], seed=seed)
        first = model.table[sample.nodes].float()
        vectors[rows] = model.propagate_sample(blocks_of(sampler, sample), first, len(rows))
    return vectors


def row_blocks(csr: CSR, block_edges: int = BLOCK_EDGES) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most ``block_edges`` edges together, or one row each; at most 2¹⁸ rows.

    >>> csr = CSR.from_pairs(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1, 0, 2]), 4, 3)
    >>> list(row_blocks(csr, 2)), list(row_blocks(csr, 1))
    ([(0, 1), (1, 4)], [(0, 1), (1, 3), (3, 4)])
    """
    first = 0
    while first < csr.num_rows:
        end = int(csr.rowptr[first]) + block_edges
        last = int(torch.searchsorted(csr.rowptr, end, right=True)) - 1
        last = min(max(last, first + 1), first + BLOCK_ROWS)
        yield first, last
        first = last


def _propagate(model: EmbeddingModel, block_edges: int, make: Callable[[str], _Rows]) -> Tensor:
    csr, layers = model.graph.adjacency, model.settings.layers
    previous, total = model.first.detach(), make("total")
    for layer in range(1, layers + 1):
        received_rows = make(f"layer-{layer}") if layer < layers else None
        for first, last in row_blocks(csr, block_edges):
            own = previous[first:last]
            block = Block(csr.slice_rows(first, last), slice(first, last), slice(None))
            received = model.receive(layer, block, previous, own)
            if received_rows is not None:
                received_rows.write(first, received)
            before = own * (1 - model.mean_from) if layer == 1 else total.read(first, last).to(own.device)
            summed = before + received
            total.write(first, summed if layer < layers else summed / (layers + 1 - model.mean_from))
        if received_rows is not None:
            previous = received_rows.whole().to(csr.device)
    return total.whole().to(csr.device)


class _Rows:
    """Vectors written a block of rows after another, in memory."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.vectors = torch.empty(shape)

    def write(self, first: int, rows: Tensor) -> None:
        self.vectors[first : first + len(rows)] = rows

    def read(self, first: int, last: int) -> Tensor:
        return self.vectors[first:last]

    def whole(self) -> Tensor:
        return self.vectors


class _RowFile(_Rows):
    """The same in a .npy file, which is written and read by blocks and mapped only when it is whole."""

    def __init__(self, shape: tuple[int, int], path: Path) -> None:
        self.path = path
        self.width = shape[1]
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            self.start = file.tell()

    def write(self, first: int, rows: Tensor) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.start + 4 * first * self.width)
            file.write(rows.cpu().contiguous().numpy().data)

    def read(self, first: int, last: int) -> Tensor:
        with self.path.open("rb") as file:
            file.seek(self.start + 4 * first * self.width)
            return torch.from_numpy(np.fromfile(file, "<f4", (last - first) * self.width)).view(-1, self.width)

    def whole(self) -> Tensor:
        return torch.from_numpy(map_array(self.path))
