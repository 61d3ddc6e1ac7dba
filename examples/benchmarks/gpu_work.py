"""The graph that gpu.py draws, and each piece of work that it times.

The floor is bytes over the bandwidth of a triad measured in the same run, each array that the work must read or write
counted once; for ranking, the multiplications over the speed of a large product. With S = 4E + 8N bytes for the edges
and V = 4NW for a vector a node:

- product: S, 4E for values, V read and V written.
- attention's forward pass, additive: S, V read and V written; backward: S, 2 V read and V written; twice 4NH and four
  times 4NH for the numbers a node and head.
- attention layer, forward and backward: twice S and 11 V, as in ``graphrec bench``.
- LightGCN step: 6 products, and 7 V for Adam; with bfloat16 between the layers, vectors there count half, and V more
  for the table's copy and its gradient. Drawing the batch is left out, for the peer as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from gpu_clock import Call, Clock, Row
from torch import Tensor
from torch_geometric.nn import GATConv
from torch_geometric.nn.models import LightGCN as PeerLightGCN

from graphrec.layers import propagate_mean
from graphrec.losses import bpr_loss
from graphrec.ranking import rank
from graphrec.sparse import CSR, attend, symmetric_normalize, triton
from graphrec.sparse.terms import Terms

SKEW = 1.6
WIDTH, HEADS, LAYERS, BATCH, K = 64, 4, 3, 2048, 20


@dataclass(frozen=True)
class World:
    """What is measured on.

    Args:
        seen: CSR [users, items].
        adjacency: CSR [N, N], users then items, both directions, without types.
        normalized: the same with the values of LightGCN.
    """

    seen: CSR
    adjacency: CSR
    normalized: CSR

    @classmethod
    def draw(cls, num_users: int, num_items: int, num_pairs: int, device: torch.device) -> World:
        """Distinct pairs; a node's share of them falls as rank^-0.375, as in ``graphrec bench``."""
        random = np.random.default_rng(0)
        orders = random.permutation(num_users), random.permutation(num_items)
        keys = np.empty(0, np.int64)
        while len(keys) < num_pairs:
            user, item = (
                order[(len(order) * random.random(2 * num_pairs) ** SKEW).astype(np.int64)] for order in orders
            )
            keys = np.union1d(keys, user * num_items + item)
        user, item = map(torch.from_numpy, np.divmod(random.choice(keys, num_pairs, replace=False), num_items))
        nodes = num_users + num_items
        both = torch.cat([user, item + num_users]), torch.cat([item + num_users, user])
        adjacency = CSR.from_pairs(*both, nodes, nodes)
        normalized = symmetric_normalize(adjacency)
        seen = CSR.from_pairs(user, item, num_users, num_items)
        return cls(seen.to(device), adjacency.to(device), normalized.to(device))

    @property
    def device(self) -> torch.device:
        return self.adjacency.device

    @property
    def edge_bytes(self) -> int:
        """S."""
        return 4 * self.adjacency.num_edges + 8 * self.adjacency.num_rows

    @property
    def vector_bytes(self) -> int:
        """V."""
        return 4 * self.adjacency.num_rows * WIDTH

    def draw_vectors(self, *shape: int, seed: int = 0) -> Tensor:
        """Normal float32 [N, …]."""
        source = torch.Generator().manual_seed(seed)
        return torch.randn(self.adjacency.num_rows, *shape, generator=source).to(self.device)

    def edge_index(self) -> Tensor:
        """As PyG takes the edges, int64 [2, E]."""
        return torch.stack([self.adjacency.col.long(), self.adjacency.row_index()])


def time_all(world: World, clock: Clock) -> list[Row]:
    """Every piece of work, in turn."""
    rows = time_products(world, clock) + time_kernels(world, clock)
    steps = [time_step(world, clock, storage) for storage in (torch.float32, torch.bfloat16)]
    return [*rows, time_layer(world, clock), *steps, time_ranking(world, clock)]


def time_products(world: World, clock: Clock) -> list[Row]:
    """Ã X in both types, beside torch's CSR product."""
    csr, rows = world.normalized, []
    assert csr.value is not None
    for dtype in (torch.float32, torch.bfloat16):
        x, size = world.draw_vectors(WIDTH).to(dtype), (csr.num_rows, csr.num_rows)
        matrix = torch.sparse_csr_tensor(csr.rowptr.int(), csr.col, csr.value.to(dtype), size, check_invariants=False)
        moved = world.edge_bytes + 4 * csr.num_edges + 2 * world.vector_bytes * x.element_size() / 4

        def ours(x: Tensor = x) -> Tensor:
            return triton.spmm(csr.rowptr, csr.col, csr.value, x)

        def theirs(matrix: Tensor = matrix, x: Tensor = x) -> Tensor:
            return matrix @ x

        peer = ("torch CSR product", theirs) if dtype == torch.float32 or world.device.type == "cuda" else (None, None)
        rows.append(clock.row(f"product, width {WIDTH}, {_name(dtype)}", ours, moved, *peer))
    return rows


def time_kernels(world: World, clock: Clock) -> list[Row]:
    """Attention's passes by themselves, with the additive score: one number a node and head."""
    csr, rows = world.adjacency, []
    turned, permutation = csr.transpose
    graph, back = (csr.rowptr, csr.col, None), (turned.rowptr, turned.col, None, permutation)
    small = 4 * csr.num_rows * HEADS
    for dtype in (torch.float32, torch.bfloat16):
        query, key = (world.draw_vectors(HEADS, 1, seed=seed).to(dtype) for seed in (1, 2))
        value = world.draw_vectors(HEADS, WIDTH // HEADS).to(dtype)
        terms = Terms(vector=torch.ones(HEADS, 1, device=world.device, dtype=dtype))
        inputs = (query, key, value, terms, 0.0, 0)
        out, lse = triton.attend(graph, *inputs)
        saved = (out, lse, out, lse)

        def forward(inputs: tuple = inputs) -> object:
            return triton.attend(graph, *inputs)

        def backward(inputs: tuple = inputs, saved: tuple = saved) -> object:
            return triton.attend_backward(graph, back, *inputs, *saved, [True] * 3 + [False] * 5)

        vectors = world.vector_bytes * value.element_size() / 4
        work = f"attention, additive, {HEADS} × {WIDTH // HEADS}, {_name(dtype)}"
        rows.append(clock.row(f"{work}: forward", forward, world.edge_bytes + 2 * vectors + 2 * small))
        rows.append(clock.row(f"{work}: backward", backward, world.edge_bytes + 3 * vectors + 4 * small))
    return rows


def time_layer(world: World, clock: Clock) -> Row:
    """A GAT layer, forward and backward, to the gradients of its input and parameters."""
    peer = GATConv(WIDTH, WIDTH // HEADS, heads=HEADS, add_self_loops=False, bias=False).to(world.device)
    x, g = world.draw_vectors(WIDTH, seed=3).requires_grad_(), world.draw_vectors(WIDTH, seed=4)
    edge_index, parameters = world.edge_index(), [x, *peer.parameters()]
    vector = torch.ones(HEADS, 1, device=world.device)

    def ours() -> object:
        value = peer.lin(x).unflatten(1, (HEADS, -1))
        query, key = ((value * weight).sum(-1, keepdim=True) for weight in (peer.att_dst, peer.att_src))
        out, _ = attend(world.adjacency, query, key, value, score="additive", vector=vector)
        return torch.autograd.grad(out.flatten(1), parameters, g)

    def theirs() -> object:
        return torch.autograd.grad(peer(x, edge_index), parameters, g)

    moved = 2 * world.edge_bytes + 11 * world.vector_bytes
    return clock.row("attention layer, forward and backward", ours, moved, "PyG GATConv", theirs)


def time_step(world: World, clock: Clock, storage: torch.dtype) -> Row:
    """A training step of LightGCN: propagation with that type between the layers, BPR, its gradient, Adam."""
    batch = _draw_batch(world.seen)
    table = world.draw_vectors(WIDTH).mul_(0.1).requires_grad_()
    ours = _optimized([table], lambda: _loss(propagate_mean(world.normalized, table, LAYERS, storage), batch))

    peer = PeerLightGCN(world.adjacency.num_rows, WIDTH, LAYERS).to(world.device)
    edge_index, nodes = world.edge_index(), batch.unique()
    labelled = torch.cat([batch[:2], batch[::2]], dim=1)

    def their_loss() -> Tensor:
        high, low = peer(edge_index, labelled).chunk(2)
        return peer.recommendation_loss(high, low, node_id=nodes)

    theirs = _optimized(list(peer.parameters()), their_loss)
    between = world.vector_bytes * storage.itemsize / 4
    product = world.edge_bytes + 4 * world.adjacency.num_edges + 2 * between
    moved = 2 * LAYERS * product + 9 * world.vector_bytes - 2 * between
    work = f"LightGCN step, {LAYERS} layers, batch {BATCH}, {_name(storage)} between them"
    return clock.row(work, ours, moved, "PyG LightGCN", theirs)


def time_ranking(world: World, clock: Clock) -> Row:
    """The best K unseen items of every user."""
    num_users, num_items = world.seen.num_rows, world.seen.num_cols
    users, items = world.draw_vectors(WIDTH).split([num_users, num_items])
    everyone = torch.arange(num_users, device=world.device)

    def call() -> object:
        return rank(lambda block: users[block] @ items.T, everyone, K, num_items=num_items, seen=world.seen)

    moved, operations = world.vector_bytes + 8 * K * num_users, 2 * num_users * num_items * WIDTH
    work = f"ranking {num_items:,} items for {num_users:,} users"
    return clock.row(work, call, moved, operations=operations, captures=False)


def _loss(vectors: Tensor, batch: Tensor) -> Tensor:
    user, positive, negative = (vectors[nodes] for nodes in batch)
    return bpr_loss(user, positive, negative)


def _draw_batch(seen: CSR) -> Tensor:
    """Nodes int64 [3, B]: users, items they used, any items."""
    source = torch.Generator().manual_seed(0)
    edge = torch.randint(seen.num_edges, (BATCH,), generator=source).to(seen.device)
    negative = torch.randint(seen.num_cols, (BATCH,), generator=source).to(seen.device)
    return torch.stack([seen.row_index()[edge], seen.col[edge] + seen.num_rows, negative + seen.num_rows])


def _optimized(parameters: list[Tensor], loss: Callable[[], Tensor]) -> Call:
    on_gpu = parameters[0].is_cuda
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True, capturable=on_gpu)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
