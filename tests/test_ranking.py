from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphrec.errors import TrainingError, UsageError
from graphrec.ranking import entries, rank, rank_vectors, tiles, topk_rows
from graphrec.ranking.blocks import _topk_torch
from graphrec.sparse import CSR

INF = float("inf")


def csr(pairs: list[tuple[int, int]], num_rows: int, num_cols: int) -> CSR:
    row, col = np.array(pairs, np.int64).reshape(-1, 2).T
    return CSR.from_pairs(row, col, num_rows, num_cols)


def by_sorting(scores: Tensor, k: int) -> tuple[list[list[float]], list[list[int]]]:
    """The definition: Python's sort by falling score, then by rising column."""
    rows = scores.tolist()
    order = [sorted(range(len(row)), key=lambda item, row=row: (-row[item], item))[:k] for row in rows]
    return [[row[i] for i in best] for row, best in zip(rows, order, strict=True)], order


def check(scores: Tensor, k: int) -> None:
    values, columns = by_sorting(scores, k)
    for found in (topk_rows(scores, k), _topk_torch(scores, min(k, scores.shape[1]))):
        assert found[0].tolist() == values
        assert found[1].tolist() == columns


def test_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [-3.0, -1.0, -2.0]])
    values, columns = topk_rows(scores, 2)
    assert columns.tolist() == [[1, 2], [1, 2]]
    assert torch.equal(values, torch.tensor([[0.9, 0.5], [-1.0, -2.0]]))


# few distinct values, so that ties straddle the k-th place; both zeros and both infinities among them
numbers = st.sampled_from([-INF, -2.0, -0.0, 0.0, 1.0, 1.5, INF])


@settings(max_examples=200)
@given(data=st.data(), rows=st.integers(1, 4), columns=st.integers(1, 150), k=st.integers(1, 160))
def test_is_a_stable_sort_on_both_paths(data: st.DataObject, rows: int, columns: int, k: int) -> None:
    flat = data.draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
    check(torch.tensor(flat).reshape(rows, columns), k)


@pytest.mark.parametrize("k", [1, 7, 64, 1000])
@pytest.mark.parametrize("shape", ["normal", "rising", "falling", "equal", "counts"])
def test_long_rows(shape: str, k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    columns = 3001
    scores = {
        "normal": torch.randn(3, columns, generator=generator),
        "rising": torch.arange(float(columns)).expand(3, -1),
        "falling": -torch.arange(float(columns)).expand(3, -1),
        "equal": torch.ones(3, columns),
        "counts": torch.randint(0, 5, (3, columns), generator=generator).float(),
    }[shape]
    check(scores, k)


def test_threads_agree_with_one() -> None:
    scores = torch.randn(97, 4001, generator=torch.Generator().manual_seed(1))
    together = topk_rows(scores, 5)
    alone = [topk_rows(row[None], 5) for row in scores]
    assert torch.equal(together[1], torch.cat([columns for _, columns in alone]))


def test_transposed_half_and_double_scores() -> None:
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    expected = topk_rows(scores, 3)[1]
    assert torch.equal(topk_rows(scores.T.contiguous().T, 3)[1], expected)
    assert torch.equal(topk_rows(scores.double(), 3)[1], expected)
    assert topk_rows(scores.bfloat16(), 3)[0].dtype == torch.float32


def test_no_rows_and_no_columns() -> None:
    assert topk_rows(torch.empty(0, 4), 3)[1].shape == (0, 3)
    assert topk_rows(torch.empty(2, 0), 3)[1].shape == (2, 0)
    nobody = rank(lambda users: torch.empty(len(users), 4), torch.empty(0, dtype=torch.int64), 3, num_items=4)
    assert nobody.items.shape == nobody.scores.shape == (0, 3)
    assert (nobody.items.dtype, nobody.scores.dtype) == (torch.int64, torch.float32)


def test_not_a_number_stops() -> None:
    scores = torch.zeros(3, 100)
    scores[1, 99] = torch.nan
    with pytest.raises(TrainingError, match="1 scores of a block are not a number"):
        topk_rows(scores, 2)
    with pytest.raises(TrainingError):  # also where it would have been left out
        rank(lambda users: scores[users], torch.tensor([1]), 2, num_items=100, seen=csr([(1, 99)], 3, 100))


def test_wrong_calls() -> None:
    with pytest.raises(UsageError, match="k must be >= 1, got 0"):
        topk_rows(torch.zeros(1, 2), 0)
    with pytest.raises(UsageError, match=r"scores must have shape \(1, 3\), got \(1, 2\)"):
        rank(lambda users: torch.zeros(1, 2), torch.tensor([0]), 1, num_items=3)


def test_entries_in_any_order() -> None:
    offsets, columns = entries(csr([(0, 1), (2, 0), (2, 3)], 3, 4), torch.tensor([2, 1, 0, 2]))
    assert offsets.tolist() == [0, 2, 2, 3, 5]
    assert columns.tolist() == [0, 3, 1, 0, 3]


def test_seen_and_allowed_are_left_out() -> None:
    scores = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    kept = scores.clone()
    found = rank(
        lambda users: scores[users],
        torch.tensor([1, 0]),
        3,
        num_items=5,
        seen=csr([(0, 0), (1, 4)], 2, 5),
        allowed=torch.tensor([True, True, False, True, True]),
    )
    assert found.items.tolist() == [[3, 1, 0], [1, 3, 4]]
    assert found.scores.tolist() == [[4.0, 2.0, 1.0], [4.0, 2.0, 1.0]]
    assert torch.equal(scores, kept)


def test_empty_places() -> None:
    scores = torch.tensor([[1.0, -INF, 2.0]])
    found = rank(lambda users: scores, torch.tensor([0]), 9, num_items=3, seen=csr([(0, 2)], 1, 3))
    assert found.items.tolist() == [[0, -1, -1]]
    assert found.scores.tolist() == [[1.0, -INF, -INF]]
    everything = rank(lambda users: scores, torch.tensor([0]), 1, num_items=3, allowed=torch.zeros(3).bool())
    assert everything.items.tolist() == [[-1]]


def test_shared_scores_are_not_written_to() -> None:
    popularity = torch.tensor([3.0, 2.0, 1.0])
    seen = csr([(0, 0), (1, 1)], 2, 3)
    found = rank(lambda users: popularity.expand(len(users), -1), torch.tensor([0, 1]), 1, num_items=3, seen=seen)
    assert found.items.tolist() == [[1], [0]]
    assert popularity.tolist() == [3.0, 2.0, 1.0]


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 30), block_size=st.integers(1, 12))
def test_rank_by_definition_in_any_blocks(seed: int, k: int, block_size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-4, 3, (8, 20), generator=generator).float()
    used = torch.rand(8, 20, generator=generator) < torch.rand(8, 1, generator=generator)
    allowed = torch.rand(20, generator=generator) < 0.8
    users = torch.randint(0, 8, (11,), generator=generator)
    row, col = used.nonzero().T
    seen = CSR.from_pairs(row, col, 8, 20)
    open_to = lambda block: scores[block]  # noqa: E731
    found = rank(open_to, users, k, num_items=20, seen=seen, allowed=allowed, block_size=block_size)
    values, columns = by_sorting(scores[users].masked_fill(used[users] | ~allowed, -INF), k)
    assert found.scores.tolist() == values
    expected = torch.tensor(columns).masked_fill(torch.tensor(values) == -INF, -1)
    assert torch.equal(found.items, expected)
    whole = rank(open_to, users, k, num_items=20, seen=seen, allowed=allowed)
    assert torch.equal(whole.items, found.items)


def test_gradients_are_not_recorded() -> None:
    weight = torch.ones(2, 3, requires_grad=True)
    assert not rank(lambda users: weight[users] * 2, torch.tensor([0]), 1, num_items=3).scores.requires_grad
    assert topk_rows(weight, 1)[1].tolist() == [[0], [0]]


@pytest.mark.gpu
def test_cpu_and_gpu_agree() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randint(0, 40, (50, 700), generator=generator).float()
    row, col = (torch.rand(50, 700, generator=generator) < 0.1).nonzero().T
    seen, allowed = CSR.from_pairs(row, col, 50, 700), torch.rand(700, generator=generator) < 0.7
    users = torch.randperm(50, generator=generator)
    here = rank(lambda block: scores[block], users, 20, num_items=700, seen=seen, allowed=allowed, block_size=7)
    table = scores.cuda()
    there = rank(
        lambda block: table[block], users.cuda(), 20, num_items=700, seen=seen.to("cuda"), allowed=allowed.cuda()
    )
    assert torch.equal(here.items, there.items.cpu())
    assert torch.equal(here.scores, there.scores.cpu())
    mixed = rank(lambda block: table[block.cuda()], users, 20, num_items=700, seen=seen, allowed=allowed)
    assert torch.equal(here.items, mixed.items.cpu())


def test_vectors_in_tiles_by_hand() -> None:
    users, items = torch.tensor([[1.0], [-1.0]]), torch.tensor([[3.0], [1.0], [2.0], [2.0]])
    found = rank_vectors(users, items, torch.tensor([1, 0]), 3, seen=csr([(0, 0)], 2, 4))
    assert found.items.tolist() == [[1, 2, 3], [2, 3, 1]]
    assert found.scores.tolist() == [[-1, -2, -2], [2, 2, 1]]
    assert rank_vectors(
        users, items, torch.tensor([0]), 3, seen=csr([(0, i) for i in range(3)], 2, 4)
    ).items.tolist() == [[3, -1, -1]]


@pytest.mark.parametrize("k", [1, 10, 300])
@pytest.mark.parametrize("whole", [True, False])
def test_vectors_in_tiles_give_what_rank_gives(k: int, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_ITEMS", 64)
    monkeypatch.setattr(tiles, "BLOCK_USERS", 7)
    generator = torch.Generator().manual_seed(k)
    users, items = torch.randn(40, 8, generator=generator), torch.randn(250, 8, generator=generator)
    if whole:  # whole numbers make many equal scores
        users, items = users.round(), items.round()
    seen = CSR.from_pairs(torch.arange(40).repeat_interleave(9), torch.arange(360) * 7 % 250, 40, 250)
    allowed = torch.rand(250, generator=generator) > 0.2
    chosen = torch.randperm(40, generator=generator)[:30]
    for hidden in ({}, {"seen": seen}, {"seen": seen, "allowed": allowed}):
        expected = rank(lambda block: users[block] @ items.T, chosen, k, num_items=250, **hidden)
        found = rank_vectors(users, items, chosen, k, **hidden)
        assert torch.equal(found.items, expected.items)
        exact = {"rtol": 0.0, "atol": 0.0} if whole else {}  # a product's last bit depends on the shape of its block
        torch.testing.assert_close(found.scores, expected.scores, **exact)


def test_vectors_in_tiles_at_the_edges() -> None:
    vectors = torch.ones(3, 2)
    assert rank_vectors(vectors, vectors, torch.empty(0).long(), 2).items.shape == (0, 2)
    assert rank_vectors(vectors, vectors[:0], torch.tensor([0]), 2).items.shape == (1, 0)
    with pytest.raises(UsageError, match="k must be >= 1"):
        rank_vectors(vectors, vectors, torch.tensor([0]), 0)
    with pytest.raises(TrainingError, match="2 scores of a block are not a number"):
        rank_vectors(vectors, torch.tensor([[1.0, 1.0], [float("nan"), 1.0]]), torch.tensor([0, 1]), 1)
    assert torch.get_num_threads() > 0


def test_calls_at_once_leave_the_thread_count(monkeypatch: pytest.MonkeyPatch) -> None:
    both_inside, counts = threading.Barrier(2, timeout=60), []
    rank_block = tiles._rank_block

    def meet(*arguments: object) -> int:
        both_inside.wait()
        return rank_block(*arguments)

    def call() -> None:
        rank_vectors(torch.ones(1, 2), torch.ones(3, 2), torch.tensor([0]), 2)
        counts.append(torch.get_num_threads())

    monkeypatch.setattr(tiles, "_rank_block", meet)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        fresh = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        assert [*counts, torch.get_num_threads()] == [3, 3, 3, 3]
    finally:
        torch.set_num_threads(before)


def test_overlapping_calls_leave_the_thread_count() -> None:
    code = """
import threading, torch
from graphrec.ranking.tiles import _one_thread_each
torch.set_num_threads(3)
inside, leave, counts = threading.Event(), threading.Event(), []
def first():
    with _one_thread_each() as workers:
        counts.append(workers)
        inside.set(); leave.wait(60)
    counts.append(torch.get_num_threads())
def second():
    inside.wait(60)
    counts.append(torch.get_num_threads())  # first used here, while the other call is at work
    with _one_thread_each() as workers:
        counts.append(workers)
        leave.set(); one.join(60)
        new = threading.Thread(target=lambda: counts.append(torch.get_num_threads())); new.start(); new.join()
    counts.append(torch.get_num_threads())
one, two = threading.Thread(target=first), threading.Thread(target=second)
one.start(); two.start(); two.join(60)
new = threading.Thread(target=lambda: counts.append(torch.get_num_threads())); new.start(); new.join()
print(counts, torch.get_num_threads())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[3, 1, 3, 3, 1, 3, 3] 3"
