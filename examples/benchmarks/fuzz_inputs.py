"""Hypothesis strategies for all that graphrec reads from outside: bytes of tables and folders, and damage to files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

TRAP = "executed"  # the file that the pickle below makes where it is run
PICKLE = f"cposix\nsystem\n(S'touch {TRAP}'\ntR.".encode()

IDS = ["7", "007", "10", "NA", "ann", "bob", "é", "\U0001f600", "a b", "x,y", 'q"q', "=1", "a::b", "9" * 20]
ODD_IDS = ["", " ", "\t", "a\nb", "a\rb", "\x1f", "\x00", "\ufeff", "\u2028", "x" * 70_000]
NUMBERS = ["0", "1", "3", "4.5", "1e3", ".5", "5.", "+2", "007", "9007199254740993", "9223372036854775807"]
NUMBERS += ["2024-05-31", "2024-05-31 18:00:00", "2024-05-31T18:00:00Z", "2024-05-31T18:00:00+0200", "20240531T18"]
ODD_NUMBERS = ["", "-1", "nan", "inf", "1e400", "1e308", "0x10", " 5", "1_0", "٣", "9" * 19, "0001-01-01", "x"]
PIECES = [
    b'"',
    b",",
    b"\t",
    b"::",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x1f",
    b"0",
    b"-",
    PICKLE,
]
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "gbk", "utf-7", "idna"]

KINDS = ["user", "item", "entity", ""]
WORDS = ["by", "genre", "war|drama", "Toy Story", "1999", "1e308", "", *IDS]

clean = {"id": st.sampled_from(IDS), "number": st.sampled_from(NUMBERS), "kind": st.sampled_from(KINDS)}
odd = {
    "id": clean["id"] | st.sampled_from(IDS + ODD_IDS) | st.text(max_size=4),
    "number": st.sampled_from(NUMBERS[:4]) | st.sampled_from(NUMBERS + ODD_NUMBERS),
    "kind": st.sampled_from([*KINDS, "x"]),
}
MEANING = {
    **dict.fromkeys(("user_id", "item_id", "entity_id", "head", "head_id", "tail", "tail_id"), "id"),
    **dict.fromkeys(("rating", "timestamp", "weight", "year"), "number"),
    **dict.fromkeys(("head_type", "tail_type"), "kind"),
}
COLUMNS = {
    "interactions": (["user_id", "item_id"], ["rating", "timestamp", "weight", "more"]),
    "knowledge": (["head", "relation", "tail"], ["head_type", "tail_type"]),
    "items": (["item_id"], ["title", "genre", "year"]),
    "users": (["user_id"], ["title", "year"]),
}


@dataclass(frozen=True)
class Given:
    """What a reader is given.

    Args:
        files: bytes by name.
        options: of ``read_dataset``; those that name a table hold the name of a file, "." for the folder of all.
    """

    files: dict[str, bytes]
    options: dict[str, Any] = field(default_factory=dict)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with up to three changes: a piece put in, a range cut out or doubled, random bytes, an early end."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        first, second = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        piece = draw(st.sampled_from([*PIECES, b"", content[first:second]]) | st.binary(max_size=6))
        stop = draw(st.sampled_from([first, min(first + 1, len(content)), second, len(content)]))
        content = content[:first] + piece + content[stop:]
    return content


def written(rows: list[list[str]], delimiter: str, newline: str, *, plain: bool) -> str:
    """Rows as text: fields in quotes where they need it, or as they are."""
    if plain or len(delimiter.encode()) > 1:
        return "".join(delimiter.join(row) + newline for row in rows)
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(rows)
    return text.getvalue()


@st.composite
def rows_of(draw: st.DrawFn, names: Sequence[str], *, flaws: bool) -> list[list[str]]:
    """Rows of these columns; with flaws some values are odd, and some rows have a field too few or too many."""
    cells = odd if flaws and draw(st.booleans()) else clean
    columns = [cells.get(MEANING.get(name, ""), st.sampled_from(WORDS)) for name in names]
    rows = [list(row) for row in draw(st.lists(st.tuples(*columns), min_size=not flaws, max_size=12))]
    if flaws and rows and draw(st.booleans()):
        draw(st.sampled_from(rows))[-1:] = draw(st.sampled_from([[], ["x", "y"]]))
    return rows


@st.composite
def columns_of(draw: st.DrawFn, table: str, *, flaws: bool) -> list[str]:
    """The header of a table: its columns and some of the optional ones; now and then another name, or one twice."""
    needed, optional = COLUMNS[table]
    names = draw(st.permutations(needed + draw(st.lists(st.sampled_from(optional), unique=True))))
    if flaws and draw(st.integers(0, 3)) == 0:
        names[draw(st.integers(0, len(names) - 1))] = draw(st.sampled_from(["", "item", "user_id:token", "item_id"]))
    return names


@st.composite
def text_table(draw: st.DrawFn, table: str, delimiter: str, encoding: str, *, flaws: bool) -> bytes:
    """The bytes of a delimited table; with flaws also unquoted ones, and mutated ones."""
    names = draw(columns_of(table, flaws=flaws))
    rows, newline = [names, *draw(rows_of(names, flaws=flaws))], draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    text = written(rows, delimiter, newline, plain=flaws and draw(st.booleans()))
    try:
        content = text.encode(encoding, "replace")
    except UnicodeError:
        content = text.encode("utf-8", "replace")
    return draw(mutated(content)) if flaws else content


ARROW = st.sampled_from(
    [
        pa.array(["7", "007", None]),
        pa.array(["7", "x", None]),
        pa.array(["7", "b", "7"]).dictionary_encode(),
        pa.array([7, 8, -9]),
        pa.array([7, 8, 2**64 - 1], pa.uint64()),
        pa.array([7.0, None, float("nan")]),
        pa.array([True, False, None]),
        pa.array([None, None, None]),
        pa.array([[1.0], [2.0], [float("inf")]]),
        pa.array([b"\xff", b"a", None]),
        pa.array([0, 2**62, None], pa.timestamp("us")),
        pa.array([0, 1, 2], pa.date32()),
        pa.array([1, 2, 3]).cast(pa.decimal128(38, 2)),
        pa.array([{"a": 1}, None, {"a": 2}]),
        pa.array([1, 2, 3], pa.duration("s")),
    ]
)


@st.composite
def parquet_table(draw: st.DrawFn, table: str, *, flaws: bool) -> bytes:
    """The bytes of a Parquet table: of rows as in a text; with flaws with columns of any types, and mutated."""
    names, sink = draw(columns_of(table, flaws=flaws)), io.BytesIO()
    if flaws:
        columns = [draw(ARROW) for _ in names]
    else:
        columns = [pa.array(column) for column in zip(*draw(rows_of(names, flaws=False)), strict=True)]
    pq.write_table(pa.Table.from_arrays(columns, names=names), sink)
    return draw(mutated(sink.getvalue())) if flaws else sink.getvalue()


@st.composite
def vectors(draw: st.DrawFn) -> dict[str, bytes]:
    """Vectors of items, ``image.npy`` with its list of ids or ``image.parquet``, mutated."""
    if draw(st.booleans()):
        sink = io.BytesIO()
        listed = draw(st.sampled_from([[[1.0, 2.0]] * 3, [[1.0], None, []], [[1], [None], [2]]]))
        pq.write_table(pa.table({"id": ["7", "007", "x"], "v": listed}), sink)
        return {"image.parquet": draw(mutated(sink.getvalue()))}
    sink = io.BytesIO()
    kind = draw(st.sampled_from(["<f4", "<f8", ">i2", "?", "<c8", "<U3", "<f2"]))
    np.save(sink, np.ones(draw(st.sampled_from([(2, 3), (2,), (0, 3), (2, 0)])), kind))
    return {"image.npy": draw(mutated(sink.getvalue())), "image_ids.csv": draw(mutated(b"id\n7\n007\n"))}


@st.composite
def tables(draw: st.DrawFn) -> Given:
    """Interactions, and perhaps knowledge, items, users, test rows and vectors, with options of the reader."""
    encoding = draw(st.sampled_from(["utf-8"] * 9 + ENCODINGS))
    delimiter = draw(st.sampled_from([",", ",", ",", ",", "\t", ";", "|", "::", "é"]))
    options: dict[str, Any] = {"encoding": encoding} if encoding != "utf-8" else {}
    options |= {"delimiter": delimiter} if delimiter not in ",\t" else {}
    files: dict[str, bytes] = {}
    others = draw(st.lists(st.sampled_from(["knowledge", "items", "users", "test"]), unique=True, max_size=2))
    for table in ("interactions", *others):
        form, flaws = table if table in COLUMNS else "interactions", draw(st.sampled_from([False, False, True]))
        text = "tsv" if delimiter == "\t" else "csv"
        suffix = draw(st.sampled_from([text] * 6 + ["parquet", *["txt", "dat"] * flaws]))
        if suffix == "parquet":
            files[f"{table}.parquet"] = draw(parquet_table(form, flaws=flaws))
        else:
            files[f"{table}.{suffix}"] = draw(text_table(form, delimiter, encoding, flaws=flaws))
        options[table] = f"{table}.{suffix}"
    if draw(st.integers(0, 9)) == 0:
        found = draw(vectors())
        options["item_vectors"] = {"image": next(iter(found))}
        files |= found
    options |= draw(st.sampled_from([{}] * 6 + [{"split": "last"}, {"split": "time"}, {"split": "random"}]))
    options |= draw(st.sampled_from([{}] * 8 + [{"min_rating": 3}, {"header": ["user_id", "item_id", "rating"]}]))
    return Given(files, options)


digits = st.sampled_from(["0", "1", "2", "3", "10"])
odd_digits = digits | st.sampled_from(["", "007", "-1", "1.5", "9" * 18, "9" * 19, "x"])
NUMBERED = {
    "lists": ["train.txt", "test.txt", "sequence.txt", "kg_final.txt"],
    "pairs": ["ratings_final.txt", "kg_final.txt", "kg.txt"],
}
LISTED = ["item_list.txt", "user_list.txt", "entity_list.txt", "relation_list.txt"]
HEADERS = ["org_id remap_id", "org_id\tremap_id\tname", "id", "id id", "name remap_id type", ""]


@st.composite
def numbers_of(draw: st.DrawFn, name: str) -> bytes:
    """The bytes of a file of whole numbers: lines of any length, or of three where its form asks for that."""
    flaws = draw(st.sampled_from([False, False, True]))
    cells = odd_digits if flaws else digits
    fewest, most = (3, 3) if name.startswith(("kg", "ratings")) and not (flaws and draw(st.booleans())) else (1, 5)
    lines = draw(st.lists(st.lists(cells, min_size=fewest, max_size=most), min_size=not flaws, max_size=8))
    if name == "ratings_final.txt":
        lines = [[*line[:2], draw(st.sampled_from("0111"))] for line in lines]
    content = written(lines, draw(st.sampled_from(" \t")), "\n", plain=True).encode()
    return draw(mutated(content)) if flaws else content


@st.composite
def numbered_folders(draw: st.DrawFn) -> Given:
    """Folders of whole numbers, in the forms of LightGCN, KGAT and KGCN."""
    form = draw(st.sampled_from(["lists", "pairs"]))
    first, *others = NUMBERED[form]
    names = draw(st.lists(st.sampled_from(others), unique=True))
    files = {name: draw(numbers_of(name)) for name in [*([] if "sequence.txt" in names else [first]), *names]}
    for name in draw(st.lists(st.sampled_from(LISTED), unique=True, max_size=2)):
        lines = [draw(st.sampled_from(HEADERS)), *(f"x{n} {n}" for n in range(draw(st.integers(0, 11))))]
        files[name] = draw(mutated("\n".join(lines).encode()))
    return Given(files, {"interactions": "."})


NAMED = {  # columns, and whether the file has a header with types
    "ratings.dat": (["user_id", "item_id", "rating", "timestamp"], False),
    "movies.dat": (["item_id", "title", "genre"], False),
    "shop.inter": (["user_id", "item_id", "rating", "timestamp"], True),
    "shop.test.inter": (["user_id", "item_id"], True),
    "shop.item": (["item_id", "title"], True),
    "shop.kg": (["head_id", "relation_id", "tail_id"], True),
    "shop.link": (["item_id", "entity_id"], True),
}


@st.composite
def named_folders(draw: st.DrawFn) -> Given:
    """Folders with RecBole's atomic files, and MovieLens folders with ``::``."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "latin-1"]))
    kept = draw(st.sampled_from([("ratings.dat", "movies.dat"), ("ratings.dat",), ("shop.inter", "shop.item")]))
    kept += tuple(draw(st.lists(st.sampled_from(list(NAMED)[3:]), unique=True))) if kept[0] == "shop.inter" else ()
    files = {}
    for name in dict.fromkeys(kept):
        columns, headed = NAMED[name]
        flaws = draw(st.sampled_from([False, False, True]))
        rows = draw(rows_of(columns, flaws=flaws))
        rows = [[f"{column}:token" for column in columns], *rows] if headed else rows
        content = written(rows, "\t" if headed else "::", "\n", plain=flaws).encode(encoding, "replace")
        files[name] = draw(mutated(content)) if flaws else content
    return Given(files, {"interactions": "."} | ({"encoding": encoding} if encoding != "utf-8" else {}))


folders = numbered_folders() | named_folders()
