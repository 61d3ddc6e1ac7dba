"""What a build will take, said before it starts: rows, ids, memory, disk and time, from a sample and the file sizes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from graphrec.data.delimited import Ragged, learn_columns, parse_options
from graphrec.data.large.memory import shown_size
from graphrec.data.large.parts import TablePart, footer
from graphrec.data.large.store import WORK
from graphrec.data.request import Request
from graphrec.errors import RoomError

# Measured with 100 million rows of two ids and a timestamp on 2 cores that others were using, too.
ROWS_PER_SECOND = {"parquet": 350_000, "text": 270_000}
PROCESS_BYTES = 450_000_000  # Python, Arrow, blocks, DuckDB without rows; torch and a compiler for the report
LEAST_DUCKDB = 120_000_000  # below this, sorting gives up
BYTES_PER_ID = 100  # beside its text: positions, hashes, counts
ROW_BYTES_IN_WORK = 40  # of a row in the store, in the spill of the sort and in the columns, beside its values

NAMES = ["user_id", "item_id"]
BLOCKS = 16  # looked at in the sample
SAMPLE_ROWS = 1 << 16  # of each block
SAMPLE_BYTES = 1 << 21


@dataclass(frozen=True)
class Estimate:
    """What a build will take; all but the file sizes is a guess from a sample.

    Args:
        rows, users, items: how many.
        memory: bytes that it needs at least.
        limit: bytes that it may use.
        disk: bytes that it needs in the graph folder while it works.
        free: bytes that there are.
        seconds: for the whole build.
    """

    rows: int
    users: int
    items: int
    memory: int
    limit: int
    disk: int
    free: int
    seconds: float

    def check(self, out: Path) -> None:
        """Refuse what cannot end well.

        Raises:
            DataError: with the numbers, and what would do.
        """
        if self.memory > self.limit:
            ids = f"{self.users + self.items:,} ids"
            message = f"{shown_size(self.limit)} of memory is too little for about {ids}"
            raise RoomError(message, f"give at least {shown_size(1.05 * self.memory)} with --memory")
        if self.disk > self.free:
            message = f"{out}: about {shown_size(self.disk)} of disk are needed for about {self.rows:,} rows"
            raise RoomError(f"{message}, and {shown_size(self.free)} are free", "free some, or choose another disk")


def estimate(parts: Sequence[TablePart], request: Request, limit: int, out: Path) -> Estimate:
    """Look at a sample of the parts.

    Args:
        limit: bytes of memory that the build may use.
        out: the graph folder, perhaps with unfinished work in it.
    """
    sample, rows = _sample(parts, request)
    names = [[piece for block in sample for piece in _pieces(block.column(place), len(sample))] for place in range(2)]
    users, items = (distinct_of(blocks, rows) for blocks in names)
    per_id = BYTES_PER_ID + 6 * max(_mean_bytes(blocks) for blocks in names)
    values = len({name for part in parts for name in part.chosen} - {"user_id", "item_id"})
    folder = next(place for place in (out, *out.absolute().parents) if place.exists())
    there = sum(path.stat().st_size for path in (out / WORK).rglob("*") if path.is_file())
    kind = "parquet" if parts[0].file.is_parquet else "text"
    return Estimate(
        rows,
        users,
        items,
        memory=int(PROCESS_BYTES + LEAST_DUCKDB + per_id * (users + items)),
        limit=limit,
        disk=int(rows * (ROW_BYTES_IN_WORK + 16 * values)),
        free=shutil.disk_usage(folder).free + there,
        seconds=1 + rows / ROWS_PER_SECOND[kind],
    )


def duckdb_share(estimate: Estimate) -> int:
    """Bytes of the limit that DuckDB may use; the rest is for Python, the ids and the blocks."""
    spare = estimate.limit - estimate.memory
    return LEAST_DUCKDB + int(0.6 * max(0, spare))


def distinct_of(blocks: Sequence[pa.Array], rows: int) -> int:
    """About how many distinct values all rows have, from blocks of them.

    Chao's estimate from the values seen in one block only and in two (Chao 1987), between what was seen and what as
    many new values in every further block would give, which is how it is where rows are sorted by the value.

    >>> distinct_of([pa.array(["a", "b"]), pa.array(["a", "b"])], 100)
    2
    """
    seen = [pc.unique(block) for block in blocks if len(block)]
    if not seen:
        return 0
    times = pc.value_counts(pa.concat_arrays(seen)).field("counts").to_numpy()
    once, twice = int((times == 1).sum()), int((times == 2).sum())
    most = len(times) * rows / sum(len(block) for block in blocks)
    likely = len(times) + once * once / (2 * twice) if twice else most if once else len(times)
    return round(min(max(len(times), likely), max(most, len(times))))


def _pieces(column: pa.Array, blocks: int) -> list[pa.Array]:
    """A block's names as text, in several pieces where there are few blocks to compare; none if they are no text."""
    try:
        texts = column.cast(pa.large_string()).drop_null()
    except pa.ArrowException:  # the reader proper will say what is wrong
        return []
    bounds = np.linspace(0, len(texts), -(-BLOCKS // blocks) + 1).astype(int).tolist()
    return [texts.slice(start, stop - start) for start, stop in pairwise(bounds)]


def _mean_bytes(blocks: Sequence[pa.Array]) -> float:
    lengths = [pc.mean(pc.binary_length(block)).as_py() for block in blocks if len(block)]
    return float(np.mean(lengths)) if lengths else 0.0


def _sample(parts: Sequence[TablePart], request: Request) -> tuple[list[pa.RecordBatch], int]:
    """Blocks of (user_id, item_id) from all over the parts, and the number of rows, for text a guess."""
    parquet = [part for part in parts if part.file.is_parquet]  # the test table may be of the other kind
    text = [part for part in parts if not part.file.is_parquet]
    blocks, rows = _sample_parquet(parquet) if parquet else ([], 0)
    more, others = _sample_text(text, request) if text else ([], 0)
    return blocks + more, rows + others


def _sample_text(parts: Sequence[TablePart], request: Request) -> tuple[list[pa.RecordBatch], int]:
    size = sum(part.file.size for part in parts)
    count = min(BLOCKS, -(-size // SAMPLE_BYTES))
    places = (np.arange(count) + 0.5) / count * size
    blocks, read, start = [], 0, 0
    for part in parts:
        inside = places[(places >= start) & (places < start + part.file.size)] - start
        for offset in inside:
            block, length = _read_text(part, request, min(int(offset), max(0, part.file.size - SAMPLE_BYTES)))
            blocks.append(block)
            read += length
        start += part.file.size
    return blocks, round(size * sum(map(len, blocks)) / read) if read else 0


def _sample_parquet(parts: Sequence[TablePart]) -> tuple[list[pa.RecordBatch], int]:
    footers = [footer(part.file) for part in parts]
    groups = [(part, at) for part, found in zip(parts, footers, strict=True) for at in range(found.num_row_groups)]
    blocks = []
    for place in np.unique(np.linspace(0, len(groups) - 1, BLOCKS).round().astype(int)) if groups else ():
        part, group = groups[place]
        columns = [part.chosen[name] for name in NAMES]
        try:
            with pq.ParquetFile(part.file.path, buffer_size=1 << 20) as file:
                batch = next(file.iter_batches(SAMPLE_ROWS, row_groups=[group], columns=columns), None)
        except (pa.ArrowException, OSError):
            continue  # the reader proper will say what is wrong
        blocks.extend([] if batch is None else [_ids(batch, part)])
    return blocks, sum(found.num_rows for found in footers)


def _read_text(part: TablePart, request: Request, offset: int) -> tuple[pa.RecordBatch, int]:
    """Rows of whole lines from about ``offset`` on, and their bytes; none where they cannot be read on their own."""
    file = learn_columns(part.file.path, request.form)
    part.file.check()
    plain = file.text.is_utf8 and file.text.quoted
    columns = [part.chosen[name] for name in NAMES if part.chosen[name] in file.columns]
    empty = pa.record_batch([pa.array([], pa.large_string())] * 2, names=NAMES)
    try:
        with open(part.file.path, "rb") if plain else file.text.stream() as lines:
            if plain:  # other text can be read from its beginning alone
                lines.seek(offset)
            content = lines.read(SAMPLE_BYTES)
        begin = content.find(b"\n") + 1 if file.headed or (plain and offset) else 0
        content = content[begin : content.rfind(b"\n") + 1] or content[begin:]
        table = pa_csv.read_csv(
            io.BytesIO(content.decode("utf-8", "replace").encode()),  # pyarrow prints what it cannot decode
            read_options=pa_csv.ReadOptions(column_names=list(file.columns)),
            parse_options=parse_options(file, Ragged()),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()), include_columns=columns
            ),
        )
    except (pa.ArrowInvalid, UnicodeError):  # begins in a quoted field, say; the reader proper will find what is wrong
        return empty, 0
    batches = table.combine_chunks().to_batches()
    return (_ids(batches[0], part) if batches else empty), begin + len(content)


def _ids(batch: pa.RecordBatch, part: TablePart) -> pa.RecordBatch:
    """The two columns of ids, of which one may stand in the path."""
    columns = []
    for theirs in (part.chosen[name] for name in NAMES):
        inside = theirs in batch.schema.names
        columns.append(batch.column(theirs) if inside else pa.repeat(part.file.partition[theirs] or "", len(batch)))
    return pa.record_batch(columns, names=NAMES)
