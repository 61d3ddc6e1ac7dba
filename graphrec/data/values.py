"""From a table's columns to ids, numbers, times and kinds, with every value that cannot be read listed as a fault."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from graphrec.data.columns import KINDS
from graphrec.data.ids import is_text
from graphrec.errors import ColumnError

UNTYPED = len(KINDS)  # the code of a name that comes without a kind
LONG = 100  # characters of a value that are shown
LONGEST_ID = 1 << 16  # bytes; what is longer is no id but a damaged row
DICTIONARY = pa.dictionary(pa.int32(), pa.large_string())
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Fault:
    """Rows of one column that cannot be used.

    Args:
        rows: bool, True where the row is bad.
        reason: what is wrong with a bad row.
    """

    rows: np.ndarray
    reason: Callable[[int], str]


def fault(rows: np.ndarray, column: pa.ChunkedArray, name: str, rule: str) -> Fault | None:
    """The fault of these rows, None if there are none; ``rule`` completes "<name> <value> …"."""

    def reason(row: int) -> str:
        value = column[row].as_py()
        return f"{name} is empty" if value in (None, "") else f"{name} {shown(value)} {rule}"

    return Fault(rows, reason) if rows.any() else None


def shown(value: object) -> str:
    """A value for people, of a long one the beginning.

    >>> shown("x"), shown("x" * 1000)
    ("'x'", "'xxxxxxxxxxxxxxxxxxxx…' (1,000 characters)")
    """
    text = str(value)
    return repr(value) if len(text) <= LONG else f"{text[:20] + '…'!r} ({len(text):,} characters)"


def id_column(column: pa.ChunkedArray, name: str, where: str) -> tuple[pa.DictionaryArray, Fault | None]:
    """Ids as a dictionary-encoded column of strings; integers become their decimals.

    Raises:
        DataError: a column of floats, booleans or anything else that is neither text nor whole numbers.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind):
        message = f"{where}: {name} holds floats; an id such as 1.0 comes from a missing value in a column of integers"
        raise ColumnError(message, "drop the rows without an id and turn the column into integers or text")
    if pa.types.is_null(kind):
        column = column.cast(pa.large_string())
    elif not is_text(kind) and not pa.types.is_integer(kind):
        raise ColumnError(f"{where}: {name} holds {kind}, and ids are text or integers", "turn the column into text")
    codes = _dictionary(column)
    broken = pc.or_(pc.equal(codes.dictionary, ""), pc.match_substring_regex(codes.dictionary, r"[\x00\r\n]"))
    broken = pc.or_(broken, pc.greater(pc.binary_length(codes.dictionary), LONGEST_ID))
    bad = broken.to_numpy(zero_copy_only=False)
    rows = codes.is_null().to_numpy(zero_copy_only=False)
    if bad.any():
        rows = rows | bad[codes.indices.fill_null(0).to_numpy()]
    return codes, fault(rows, column, name, f"holds a line break or NUL, or more than {LONGEST_ID:,} bytes")


def number_column(column: pa.ChunkedArray, name: str, where: str) -> tuple[np.ndarray, Fault | None]:
    """Finite float32 numbers; weights are ≥ 0."""
    if is_text(column.type):
        try:
            numbers = pc.cast(column, pa.float64())
        except pa.ArrowInvalid:
            readable = pc.match_substring_regex(column, NUMBER)
            numbers = pc.cast(pc.if_else(readable, column, pa.scalar(None, column.type)), pa.float64())
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        numbers = pc.cast(column, pa.float64(), safe=False)
    else:
        raise ColumnError(f"{where}: {name} holds {column.type}, not numbers")
    with np.errstate(over="ignore"):
        values = numbers.to_numpy().astype(np.float32)
    if name == "weight":
        return values, fault(~(np.isfinite(values) & (values >= 0)), column, name, "is not a number >= 0")
    return values, fault(~np.isfinite(values), column, name, "is not a number")


def time_column(column: pa.ChunkedArray, name: str, where: str) -> tuple[np.ndarray, Fault | None]:
    """Times as int64 ≥ 0: whole numbers as given, dates as Unix seconds (UTC, fractions dropped)."""
    if is_text(column.type):
        values = _read_times(column)
    elif pa.types.is_integer(column.type):
        values = _integers(column)
    elif pa.types.is_floating(column.type):
        numbers = column.to_numpy()
        whole = np.isfinite(numbers) & (np.floor(numbers) == numbers) & (np.abs(numbers) < 2**63)
        values = np.where(whole, numbers, -1).astype(np.int64)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        values = _seconds(pc.cast(column, pa.timestamp("us"), safe=False))
    else:
        raise ColumnError(f"{where}: {name} holds {column.type}, not times")
    return values, fault(
        values < 0, column, name, "is neither a whole number >= 0 nor a date such as 2024-05-31 18:00:00"
    )


def kind_column(column: pa.ChunkedArray, name: str, where: str) -> tuple[np.ndarray, Fault | None]:
    """Position in KINDS, UNTYPED where the cell is empty, as uint8."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not is_text(kind) and not pa.types.is_null(kind):
        raise ColumnError(f"{where}: {name} holds {kind}, not one of {', '.join(KINDS)}")
    codes = _dictionary(column.cast(DICTIONARY) if pa.types.is_null(kind) else column)
    known = {**{word: code for code, word in enumerate(KINDS)}, "": UNTYPED}
    by_word = np.array([known.get(word, UNTYPED + 1) for word in codes.dictionary.to_pylist()] + [UNTYPED], np.uint8)
    values = by_word[codes.indices.fill_null(len(by_word) - 1).to_numpy()]
    return values, fault(values > UNTYPED, column, name, f"is none of {', '.join(KINDS)}")


def text_column(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """An attribute as text, null where it is empty."""
    try:
        text = column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ColumnError(
            f"{where}: {name} holds {column.type}, not text", "leave it out or join it to text"
        ) from error
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Dictionary-encoded with distinct large_string values and int32 codes."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.large_string()).dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        array = pa.array([], pa.large_string()).dictionary_encode()
    values = array.dictionary.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), values)


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.cast(column, pa.int64(), safe=False).fill_null(-1).to_numpy()


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    micros = column.cast(pa.int64()).fill_null(-1).to_numpy()
    return micros // 1_000_000


def _read_times(column: pa.ChunkedArray) -> np.ndarray:
    """Uniform columns at once; mixed or broken ones value by value; −1 where no time can be read."""
    kinds = (pa.int64(), pa.timestamp("us"), pa.timestamp("us", "UTC"))
    hexadecimal = pc.any(pc.or_(pc.starts_with(column, "0x"), pc.starts_with(column, "0X"))).as_py()
    for kind in () if hexadecimal else kinds:  # pyarrow would read it as a number
        try:
            parsed = pc.cast(column, kind)
        except pa.ArrowInvalid:
            continue
        return _integers(parsed) if kind == pa.int64() else _seconds(parsed)
    return np.array([_read_time(value or "") for value in column.to_pylist()], dtype=np.int64)


def _read_time(text: str) -> int:
    """One time, −1 if it is none.

    >>> _read_time("12"), _read_time("1.2e1"), _read_time("1970-01-01T00:00:12Z"), _read_time("1.5"), _read_time("soon")
    (12, 12, 12, -1, -1)
    """
    if re.fullmatch(r"[+-]?\d{1,19}", text):
        return int(text) if int(text) < 2**63 else -1
    if re.fullmatch(NUMBER, text):
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 2**63 else -1
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return -1
    return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
