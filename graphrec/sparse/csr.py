"""A graph as compressed sparse rows: row i receives from ``col[rowptr[i]:rowptr[i + 1]]``.

N rows, M columns, E edges.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from graphrec.sparse.checks import check, check_range, check_tensor
from graphrec.sparse.order import distinct, row_pointers, sorted_order


@dataclass(frozen=True, eq=False)
class CSR:
    """A sparse matrix or typed graph, checked when made and never changed.

    ``from_pairs`` orders each row's edges by (type, column); several edges may join one pair. An edge's number is its
    place in ``col``.

    Args:
        rowptr: int64 [N + 1], where each row's edges begin.
        col: int32 [E], the sender of each edge.
        num_cols: M.
        edge_type: int32 [E], ≥ 0, or None.
        value: float32 [E], or None, which counts as 1.

    Raises:
        UsageError: a tensor of the wrong type, shape or device, or a column out of range.

    >>> path = CSR.from_pairs(torch.tensor([1, 0, 1]), torch.tensor([2, 1, 0]), num_rows=3, num_cols=3)
    >>> path.rowptr.tolist(), path.col.tolist()
    ([0, 1, 3, 3], [1, 0, 2])
    """

    rowptr: Tensor
    col: Tensor
    num_cols: int
    edge_type: Tensor | None = None
    value: Tensor | None = None

    def __post_init__(self) -> None:
        check_tensor("rowptr", self.rowptr, torch.int64, self.rowptr.device)
        check_tensor("col", self.col, torch.int32, self.rowptr.device)
        for name, dtype in (("edge_type", torch.int32), ("value", torch.float32)):
            field = getattr(self, name)
            if field is not None:
                check_tensor(name, field, dtype, self.device)
                check(len(field) == self.num_edges, f"{name} has {len(field)} entries for {self.num_edges} edges")
        check(len(self.rowptr) > 0, "rowptr is empty; it needs one entry more than there are rows")
        check(self.num_cols >= 0, f"num_cols must be >= 0, got {self.num_cols}")
        ends = int(self.rowptr[0]), int(self.rowptr[-1])
        check(ends == (0, self.num_edges), f"rowptr must run from 0 to {self.num_edges} (edges), got {ends}")
        check(bool((self.rowptr.diff() >= 0).all()), "rowptr must not decrease")
        check_range("col", self.col, self.num_cols)
        if self.edge_type is not None:
            check_range("edge_type", self.edge_type, 2**31)

    @classmethod
    def from_pairs(
        cls, row: Any, col: Any, num_rows: int, num_cols: int, edge_type: Any = None, value: Any = None
    ) -> CSR:
        """Sort pairs by (row, type, column) into a CSR; equal pairs stay, in the order given.

        Args:
            row, col: integers [E] in [0, num_rows) and [0, num_cols), NumPy arrays or tensors.
            num_rows, num_cols: N, M.
            edge_type: integers [E] ≥ 0, or None.
            value: floats [E], or None.

        Raises:
            UsageError: lengths that differ, or a number out of range.
        """
        row, col = _as_tensor(row), _as_tensor(col)
        check(row.shape == col.shape and row.dim() == 1, f"row and col differ: {list(row.shape)}, {list(col.shape)}")
        check_range("row", row, num_rows)
        check_range("col", col, num_cols)
        kind = None if edge_type is None else _as_tensor(edge_type)
        order = sorted_order(*((row, col) if kind is None else (row, kind, col)))
        return cls(
            rowptr=row_pointers(row, num_rows),
            col=col[order].to(torch.int32),
            num_cols=num_cols,
            edge_type=None if kind is None else kind[order].to(torch.int32),
            value=None if value is None else _as_tensor(value)[order].to(torch.float32),
        )

    @classmethod
    def unchecked(cls, rowptr: Tensor, col: Tensor, num_cols: int, edge_type: Tensor | None = None) -> CSR:
        """A CSR of parts that its maker knows to fit: looking at them would wait for a GPU."""
        csr = object.__new__(cls)
        csr.__dict__.update(rowptr=rowptr, col=col, num_cols=num_cols, edge_type=edge_type, value=None)
        return csr

    @property
    def num_rows(self) -> int:
        return len(self.rowptr) - 1

    @property
    def num_edges(self) -> int:
        return len(self.col)

    @property
    def device(self) -> torch.device:
        return self.rowptr.device

    @cached_property
    def degree(self) -> Tensor:
        """Edges of each row, int64 [N]."""
        return self.rowptr.diff()

    @cached_property
    def num_types(self) -> int:
        """One more than the largest edge type; 0 without types."""
        return 0 if self.edge_type is None else _largest(self.edge_type) + 1

    def row_index(self) -> Tensor:
        """The receiver of each edge, int64 [E]."""
        rows = torch.arange(self.num_rows, device=self.device)
        return rows.repeat_interleave(self.degree, output_size=self.num_edges)

    def rows(self, row: int) -> Tensor:
        """The senders of one row, int32 [degree of the row]."""
        return self.col[int(self.rowptr[row]) : int(self.rowptr[row + 1])]

    @cached_property
    def transpose(self) -> tuple[CSR, Tensor]:
        """The graph with every edge turned round, and where each edge came from: made once, then kept.

        Returns:
            The CSR [M, N], its rows ordered by (type, column) too, and the permutation, int64 [E]: edge e' of the
            transpose is edge permutation[e'] of this.
        """
        row = self.row_index()
        kinds = () if self.edge_type is None else (self.edge_type,)
        permutation = sorted_order(self.col, *kinds)  # stable, and the edges stand in the order of their rows
        turned = CSR(
            rowptr=row_pointers(self.col, self.num_cols),
            col=row[permutation].to(torch.int32),
            num_cols=self.num_rows,
            edge_type=None if self.edge_type is None else self.edge_type[permutation],
            value=None if self.value is None else self.value[permutation],
        )
        return turned, permutation

    @cached_property
    def symmetric(self) -> bool:
        """Whether this matrix equals its transpose, edge types aside.

        Where several edges join one pair, their values are compared in order; False is then the safe answer.
        """
        if self.num_rows != self.num_cols:
            return False
        row = self.row_index()
        here, there = sorted_order(row, self.col), sorted_order(self.col, row)
        equal = torch.equal(row[here], self.col[there].long()) and torch.equal(self.col[here].long(), row[there])
        return equal and (self.value is None or torch.equal(self.value[here], self.value[there]))

    def known_symmetric(self) -> CSR:
        """This graph, which its maker knows to be symmetric: nothing will be compared. Returns itself."""
        self.__dict__["symmetric"] = True
        return self

    def to(self, device: torch.device | str) -> CSR:
        """The same graph on ``device``."""
        if self.device == torch.device(device):
            return self
        tensors = {
            name: tensor.to(device)
            for name in ("rowptr", "col", "edge_type", "value")
            if (tensor := getattr(self, name)) is not None
        }
        moved = replace(self, **tensors)
        if "symmetric" in self.__dict__:
            moved.__dict__["symmetric"] = self.symmetric
        return moved

    def with_value(self, value: Tensor | None) -> CSR:
        """The same edges with other values, float32 [E]."""
        other = replace(self, value=value)
        if "transpose" in self.__dict__:
            turned, permutation = self.transpose
            other.__dict__["transpose"] = (
                turned.with_value(None if value is None else value[permutation]),
                permutation,
            )
        return other

    def take_rows(self, rows: Tensor) -> CSR:
        """The graph that has some of the rows alone, with all their edges, in the order given.

        Args:
            rows: int64 [n] in [0, N).

        Returns:
            CSR [n, M].

        Raises:
            UsageError: a row out of range.
        """
        check_range("rows", rows, self.num_rows)
        count = self.degree[rows]
        rowptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        shift = (self.rowptr[rows] - rowptr[:-1]).repeat_interleave(count, output_size=int(rowptr[-1]))
        edge = shift + torch.arange(len(shift), device=self.device)
        return CSR(
            rowptr=rowptr,
            col=self.col[edge],
            num_cols=self.num_cols,
            edge_type=None if self.edge_type is None else self.edge_type[edge],
            value=None if self.value is None else self.value[edge],
        )

    def slice_rows(self, first: int, last: int) -> CSR:
        """Rows first..last − 1 with all their edges: views of this graph's tensors, which are not checked again.

        Args:
            first, last: 0 ≤ first ≤ last ≤ N.

        Returns:
            CSR [last − first, M].

        Raises:
            UsageError: a row out of range.

        >>> path = CSR.from_pairs(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), num_rows=3, num_cols=3)
        >>> path.slice_rows(1, 3).rowptr.tolist(), path.slice_rows(1, 3).col.tolist()
        ([0, 2, 2], [0, 2])
        """
        check(0 <= first <= last <= self.num_rows, f"rows {first}..{last} are not in [0, {self.num_rows}]")
        begin, end = int(self.rowptr[first]), int(self.rowptr[last])
        part = object.__new__(CSR)
        part.__dict__.update(
            rowptr=self.rowptr[first : last + 1] - begin,
            col=self.col[begin:end],
            num_cols=self.num_cols,
            edge_type=None if self.edge_type is None else self.edge_type[begin:end],
            value=None if self.value is None else self.value[begin:end],
        )
        return part

    @cached_property
    def typed_columns(self) -> tuple[CSR, Tensor, list[int]]:
        """The columns told apart by the type of the edge: made once, then kept. The graph has edge types.

        Returns:
            A CSR [N, P] with the same edges in order, whose columns are the P pairs of a type and a column that an edge
            has, one type's after another's; the column of each pair, int64 [P]; and how many pairs each type has.

        >>> row, col, kind = torch.tensor([[0, 0, 2], [1, 3, 1], [0, 1, 1]])
        >>> typed, column, counts = CSR.from_pairs(row, col, 3, 4, edge_type=kind).typed_columns
        >>> typed.col.tolist(), column.tolist(), counts
        ([0, 2, 1], [1, 1, 3], [1, 2])
        """
        assert self.edge_type is not None
        width, types = max(self.num_cols, 1), max(self.num_types, 1)
        pair, place = distinct(self.edge_type.long() * width + self.col, types * width)
        counts = torch.bincount(pair // width, minlength=types).tolist()
        return CSR.unchecked(self.rowptr, place.int(), len(pair), self.edge_type), pair % width, counts

    def without_edges(self, removed: Tensor) -> CSR:
        """The graph without some of its edges.

        Args:
            removed: bool [E], True for the edges to leave out.
        """
        check(
            removed.dtype == torch.bool and removed.shape == self.col.shape,
            f"the mask must be bool [{self.num_edges}], got {removed.dtype} {list(removed.shape)}",
        )
        kept = ~removed
        kept_before = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
        return CSR(
            rowptr=kept_before[self.rowptr],
            col=self.col[kept],
            num_cols=self.num_cols,
            edge_type=None if self.edge_type is None else self.edge_type[kept],
            value=None if self.value is None else self.value[kept],
        )


def _as_tensor(values: Any) -> Tensor:
    """A tensor over the same memory, also that of a read-only memory map: a CSR never writes to what it is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
        return torch.as_tensor(values)


def _largest(numbers: Tensor) -> int:
    return int(numbers.max()) if len(numbers) else -1
