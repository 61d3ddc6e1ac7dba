"""CSR: construction, its checks, transpose, symmetry, edits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphrec.errors import UsageError
from graphrec.sparse import CSR, symmetric_normalize
from graphrec.sparse.order import sorted_order
from tests.sparse.graphs import five_nodes, random_graph


def dense(csr: CSR) -> Tensor:
    """The matrix of values, or of edge counts."""
    value = torch.ones(csr.num_edges) if csr.value is None else csr.value
    matrix = torch.zeros(csr.num_rows, csr.num_cols)
    return matrix.index_put((csr.row_index(), csr.col.long()), value, accumulate=True)


def test_five_nodes_by_hand() -> None:
    csr = five_nodes()
    assert csr.rowptr.tolist() == [0, 2, 3, 3, 6, 6]
    assert csr.col.tolist() == [1, 2, 0, 3, 3, 0]  # row 3: both edges of type 0 before the one of type 1
    assert csr.edge_type is not None and csr.edge_type.tolist() == [0, 1, 0, 0, 0, 1]
    assert csr.value is not None and csr.value.tolist() == [1, 2, 3, 5, 6, 4]
    assert csr.degree.tolist() == [2, 1, 0, 3, 0]
    assert csr.row_index().tolist() == [0, 0, 1, 3, 3, 3]
    assert csr.rows(3).tolist() == [3, 3, 0]
    assert csr.num_types == 2
    assert (csr.num_rows, csr.num_cols, csr.num_edges) == (5, 5, 6)


def test_taking_rows() -> None:
    csr = five_nodes().take_rows(torch.tensor([3, 2, 0]))
    assert (csr.rowptr.tolist(), csr.col.tolist()) == ([0, 3, 3, 5], [3, 3, 0, 1, 2])
    assert csr.edge_type is not None and csr.edge_type.tolist() == [0, 0, 1, 0, 1]
    assert csr.value is not None and csr.value.tolist() == [5, 6, 4, 1, 2]
    assert torch.equal(dense(csr), dense(five_nodes())[[3, 2, 0]])
    assert five_nodes().take_rows(torch.tensor([], dtype=torch.int64)).num_edges == 0


def test_slicing_rows_takes_views() -> None:
    csr = five_nodes()
    for first in range(6):
        for last in range(first, 6):
            part, taken = csr.slice_rows(first, last), csr.take_rows(torch.arange(first, last))
            assert (part.num_rows, part.num_cols) == (last - first, 5)
            for name in ("rowptr", "col", "edge_type", "value"):
                assert torch.equal(getattr(part, name), getattr(taken, name))
            assert part.num_edges == 0 or part.col.untyped_storage().data_ptr() == csr.col.untyped_storage().data_ptr()
    assert csr.with_value(None).slice_rows(1, 4).value is None
    for first, last in ((-1, 2), (3, 2), (0, 6)):
        with pytest.raises(UsageError, match=r"are not in \[0, 5\]"):
            csr.slice_rows(first, last)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_from_pairs_sorts_by_row_type_column(edges: list[tuple[int, int, int]]) -> None:
    row, kind, col = (np.array([edge[place] for edge in edges], dtype=np.int64) for place in range(3))
    csr = CSR.from_pairs(row, col, 5, 4, edge_type=kind)
    assert csr.edge_type is not None
    found = zip(csr.row_index().tolist(), csr.edge_type.tolist(), csr.col.tolist(), strict=True)
    assert list(found) == sorted(edges)


@pytest.mark.parametrize("integers", [np.int32, np.int64, np.uint8])
def test_from_pairs_takes_any_integers(integers: type) -> None:
    csr = CSR.from_pairs(np.array([1, 0], integers), np.array([0, 1], integers), 2, 2)
    assert (csr.col.dtype, csr.rowptr.dtype) == (torch.int32, torch.int64)
    assert csr.col.tolist() == [1, 0]


def test_sorted_order_is_stable_for_small_and_large_keys() -> None:
    keys = torch.tensor([3, 1, 3, 1, 2])
    assert sorted_order(keys).tolist() == [1, 3, 4, 0, 2]
    assert sorted_order(keys * 10**12).tolist() == [1, 3, 4, 0, 2]
    assert sorted_order(torch.tensor([], dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize("typed", [True, False])
def test_transpose_turns_every_edge(typed: bool) -> None:
    csr = random_graph(30, 20, 300)
    if not typed:
        csr = CSR(csr.rowptr, csr.col, csr.num_cols, value=csr.value)
    turned, permutation = csr.transpose
    torch.testing.assert_close(dense(turned), dense(csr).T)
    torch.testing.assert_close(turned.row_index(), csr.col[permutation].long())
    torch.testing.assert_close(turned.col.long(), csr.row_index()[permutation])
    torch.testing.assert_close(turned.value, csr.value[permutation])
    assert permutation.sort().values.tolist() == list(range(300))
    assert csr.transpose is csr.transpose  # kept
    if typed:
        torch.testing.assert_close(turned.edge_type, csr.edge_type[permutation])
        inside = turned.row_index().diff() == 0
        assert (turned.edge_type.diff()[inside] >= 0).all()


def test_symmetric() -> None:
    row, col = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1])
    assert CSR.from_pairs(row, col, 3, 3).symmetric
    # typed, so that a row's columns are not in order, and each edge's reverse has another type
    assert CSR.from_pairs(row, col, 3, 3, edge_type=torch.tensor([0, 1, 0, 1])).symmetric
    assert CSR.from_pairs(row, col, 3, 3, value=torch.tensor([1.0, 1.0, 2.0, 2.0])).symmetric
    assert not CSR.from_pairs(row, col, 3, 3, value=torch.tensor([1.0, 1.0, 2.0, 3.0])).symmetric
    assert not CSR.from_pairs(row[:3], col[:3], 3, 3).symmetric
    assert not CSR.from_pairs(row, col, 3, 4).symmetric
    assert not five_nodes().symmetric


def test_symmetric_normalize_by_hand() -> None:
    # the path 0 – 1 – 2 and a node 3 alone: degrees 1, 2, 1, 0
    path = CSR.from_pairs(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), 4, 4)
    normalized = symmetric_normalize(path)
    torch.testing.assert_close(normalized.value, torch.full((4,), 1 / (1 * 2) ** 0.5))
    assert normalized.symmetric
    with pytest.raises(UsageError, match="every edge stands with its reverse"):
        symmetric_normalize(five_nodes())


def test_with_value_and_without_edges() -> None:
    csr = five_nodes()
    _ = csr.transpose
    doubled = csr.with_value(csr.value * 2)
    torch.testing.assert_close(dense(doubled), 2 * dense(csr))
    torch.testing.assert_close(dense(doubled.transpose[0]), 2 * dense(csr).T)
    assert csr.with_value(None).value is None

    fewer = csr.without_edges(torch.tensor([False, True, False, True, False, False]))
    assert fewer.rowptr.tolist() == [0, 1, 2, 2, 4, 4]
    assert fewer.col.tolist() == [1, 0, 3, 0]
    assert fewer.value.tolist() == [1, 3, 6, 4]
    assert fewer.edge_type.tolist() == [0, 0, 0, 1]
    with pytest.raises(UsageError, match=r"bool \[6\]"):
        csr.without_edges(torch.zeros(5, dtype=torch.bool))


def test_to_the_same_device_is_the_same_graph() -> None:
    csr = five_nodes()
    assert csr.to("cpu") is csr


def test_no_rows_no_edges() -> None:
    none = torch.tensor([], dtype=torch.int64)
    empty = CSR.from_pairs(none, none, 0, 0)
    assert (empty.num_rows, empty.num_edges, empty.rowptr.tolist()) == (0, 0, [0])
    assert empty.symmetric
    assert symmetric_normalize(CSR.from_pairs(none, none, 3, 3)).value.tolist() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rowptr": torch.tensor([0, 2, 3], dtype=torch.int32)}, "rowptr must be torch.int64"),
        ({"rowptr": torch.tensor([0, 3, 2, 3])}, "must not decrease"),
        ({"rowptr": torch.tensor([0, 1, 2])}, r"run from 0 to 3 \(edges\), got \(0, 2\)"),
        ({"rowptr": torch.tensor([], dtype=torch.int64)}, "rowptr is empty"),
        ({"col": torch.tensor([0, 1, 1])}, "col must be torch.int32"),
        ({"col": torch.tensor([0, 1, 2], dtype=torch.int32)}, r"col must lie in \[0, 2\), got 0..2"),
        ({"col": torch.tensor([0, -1, 1], dtype=torch.int32)}, r"col must lie in \[0, 2\)"),
        ({"col": torch.zeros(3, 1, dtype=torch.int32)}, "one dimension"),
        ({"edge_type": torch.tensor([0, 1], dtype=torch.int32)}, "2 entries for 3 edges"),
        ({"edge_type": torch.tensor([0, -1, 0], dtype=torch.int32)}, "edge_type must lie in"),
        ({"value": torch.ones(3, dtype=torch.float64)}, "value must be torch.float32"),
        ({"num_cols": -1}, "num_cols must be >= 0"),
    ],
)
def test_wrong_tensors_are_refused(change: dict[str, object], message: str) -> None:
    good = {"rowptr": torch.tensor([0, 2, 3]), "col": torch.tensor([0, 1, 1], dtype=torch.int32), "num_cols": 2}
    CSR(**good)
    with pytest.raises(UsageError, match=message):
        CSR(**(good | change))


def test_wrong_pairs_are_refused() -> None:
    one = torch.tensor([1])
    with pytest.raises(UsageError, match=r"row must lie in \[0, 1\), got 1..1"):
        CSR.from_pairs(one, one, 1, 2)
    with pytest.raises(UsageError, match="row and col differ"):
        CSR.from_pairs(one, torch.tensor([0, 1]), 2, 2)
    with pytest.raises(UsageError, match="col must be integers"):
        CSR.from_pairs(one, torch.tensor([0.5]), 2, 2)


def test_from_pairs_takes_read_only_arrays() -> None:
    row, col = np.array([1, 0]), np.array([0, 1], np.int32)
    row.flags.writeable = col.flags.writeable = False  # as memory maps are; torch warns of them
    assert CSR.from_pairs(row, col, 2, 2).col.tolist() == [1, 0]


@pytest.mark.parametrize("num_cols", [7, 1000])
def test_columns_are_told_apart_by_type(num_cols: int) -> None:
    """Each pair of type and column that differs, with its column; by counting where columns are few, or by sorting."""
    generator = torch.Generator().manual_seed(1)
    row, col, kind = (torch.randint(limit, (60,), generator=generator) for limit in (5, num_cols, 3))
    csr = CSR.from_pairs(row, col, 5, num_cols, edge_type=kind)
    typed, column, counts = csr.typed_columns
    assert len(column) == sum(counts) == len(set(zip(kind.tolist(), col.tolist(), strict=True)))
    assert torch.equal(typed.rowptr, csr.rowptr) and torch.equal(column[typed.col.long()], csr.col.long())
    of_pair = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    assert torch.equal(of_pair[typed.col.long()], csr.edge_type.long())


def test_without_edges_there_are_no_typed_columns() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    typed, column, counts = CSR.from_pairs(none, none, 2, 3, edge_type=none).typed_columns
    assert (typed.num_rows, len(column), counts) == (2, 0, [0])
