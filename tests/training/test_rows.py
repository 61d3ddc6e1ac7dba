"""Optimisers of some rows: Adam's own numbers where all rows take part, other rows untouched, rounding fair."""

from __future__ import annotations

import pytest
import torch

from graphrec.sampling import generator_for
from graphrec.training.rows import ROW_OPTIMIZERS, RowAdagrad, RowAdam


def test_all_rows_together_are_adam() -> None:
    table = torch.randn(50, 7, generator=generator_for(0))
    parameter = torch.nn.Parameter(table.clone())
    adam, rows = torch.optim.Adam([parameter], lr=0.05), RowAdam(table, 0.05, seed=0)
    for step in range(5):
        gradient = torch.randn(50, 7, generator=generator_for(1, step))
        parameter.grad = gradient.clone()
        adam.step()
        order = torch.randperm(50, generator=generator_for(2, step))
        rows.step(order, gradient[order])
    torch.testing.assert_close(table, parameter.detach(), atol=1e-6, rtol=1e-5)


def test_adagrad_by_hand() -> None:
    """s = mean(9, 1) = 5, then 5 + 5; each change is η g / √s."""
    table = torch.zeros(1, 2)
    rows = RowAdagrad(table, 0.1, seed=0)
    for _ in range(2):
        rows.step(torch.tensor([0]), torch.tensor([[3.0, 1.0]]))
    change = 0.1 * (5**-0.5 + 10**-0.5)
    torch.testing.assert_close(table, torch.tensor([[-3 * change, -change]]))
    assert rows.square.shape == (1, 1)


@pytest.mark.parametrize("name", ROW_OPTIMIZERS)
def test_other_rows_stay(name: str) -> None:
    table = torch.ones(6, 3)
    rows = ROW_OPTIMIZERS[name](table, 0.1, seed=0)
    rows.step(torch.tensor([4, 1]), torch.ones(2, 3))
    assert (table != 1).any(dim=1).tolist() == [False, True, False, False, True, False]
    rows.step(torch.empty(0, dtype=torch.int64), torch.empty(0, 3))


@pytest.mark.parametrize("name", ROW_OPTIMIZERS)
def test_what_was_saved_goes_on_alike(name: str) -> None:
    tables = [torch.ones(4, 3, dtype=torch.bfloat16) for _ in range(2)]
    first, second = (ROW_OPTIMIZERS[name](table, 0.01, seed=3) for table in tables)
    nodes, gradient = torch.tensor([0, 2]), torch.randn(2, 3, generator=generator_for(0))
    first.step(nodes, gradient.clone())
    tables[1].copy_(tables[0])
    second.restore({key: tensor.clone() for key, tensor in first.state().items()})
    for rows in (first, second):
        rows.step(nodes, gradient.clone())
    assert torch.equal(*tables)


def test_bfloat16_keeps_small_changes_on_average() -> None:
    """Steps of 1e-4 from 1, where bfloat16 has steps of 4e-3: rounding to the nearest would never move."""
    table = torch.ones(20_000, 4, dtype=torch.bfloat16)
    rows = RowAdagrad(table, 1e-4, seed=1)
    for _ in range(4):
        rows.step(torch.arange(len(table)), torch.ones(table.shape))
    expected = 1 - 1e-4 * sum(count**-0.5 for count in range(1, 5))
    assert table.float().mean().item() == pytest.approx(expected, abs=2e-5)
    assert len(table.unique()) > 1


@pytest.mark.parametrize(
    ("storage", "name", "expected"),
    [
        (torch.float32, "adam", 12 * 32),
        (torch.float32, "adagrad", 4 * 32 + 4),
        (torch.bfloat16, "adam", 10 * 32),
        (torch.bfloat16, "adagrad", 2 * 32 + 4),
    ],
)
def test_bytes_a_node_are_those_of_the_page(storage: torch.dtype, name: str, expected: int) -> None:
    """4 W or 2 W for the vectors, 8 W or 4 for the optimiser; docs/training.md says so."""
    table = torch.zeros(100, 32, dtype=storage)
    rows = ROW_OPTIMIZERS[name](table, 0.1, seed=0)
    rows.step(torch.arange(10), torch.ones(10, 32))
    state = [tensor for tensor in rows.state().values() if tensor.dim()]
    held = table.nbytes + sum(tensor.nbytes for tensor in state)
    assert held == 100 * expected
