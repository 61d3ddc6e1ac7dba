"""Tables as CSV for people: no cell that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

_RUNS = r"^[=+\-@\t\r\n']"


def write_csv(table: pa.Table, file: IO[str], *, header: bool = True) -> int:
    """Write a table as CSV, in which text that a spreadsheet would run begins with an apostrophe.

    That is text that begins with ``=``, ``+``, ``-``, ``@``, a tab or an end of line; and text that begins with an
    apostrophe gets another one, so that whoever takes one apostrophe off the beginning of a cell has what was there.

    Args:
        table: whose columns of text are escaped; numbers stay as they are.
        file: open for text, with ``newline=""``.
        header: whether the names of the columns come first.

    Returns:
        How many cells were escaped.

    >>> import sys
    >>> write_csv(pa.table({"item_id": ["=1+1", "i1", "'a"], "score": [-1, 2, 3]}), sys.stdout)
    item_id,score
    '=1+1,-1
    i1,2
    ''a,3
    2
    """
    escaped, quoting = 0, csv.QUOTE_MINIMAL
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column, count = _escape(table[place])
            table, escaped = table.set_column(place, field.name, column), escaped + count
            if pc.any(pc.match_substring(column, "\r")).as_py():
                quoting = csv.QUOTE_NONNUMERIC  # by itself the csv module quotes \n alone
    table.to_pandas().to_csv(file, index=False, header=header, quoting=quoting)
    return escaped


def _escape(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """The column with apostrophes, and how many there are."""
    runs = pc.fill_null(pc.match_substring_regex(column, _RUNS), False)
    apostrophe = pa.scalar("'", column.type)
    marked = pc.binary_join_element_wise(apostrophe, column, pa.scalar("", column.type))
    return pc.if_else(runs, marked, column), pc.sum(runs).as_py() or 0
