"""Folders of whole numbers, in the two forms in which published data sets are passed around.

- lists (LightGCN, KGAT): ``train.txt`` and optionally ``test.txt`` with lines ``user item item …``; ``sequence.txt``
  with such lines too, each user's items in the order of use, also alone; ``kg_final.txt`` with lines
  ``head relation tail``; names in ``user_list``, ``item_list``, ``entity_list`` and ``relation_list.txt``.
- pairs (KGCN, RippleNet): ``ratings_final.txt`` with lines ``user item label``; ``kg_final.txt``; names in ``kg.txt``.

All ids are whole numbers; an entity id below the number of items is that item.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from graphrec.data.columns import KINDS, ORIGINAL_ID
from graphrec.data.formats.rows import Described, Folder, InteractionRows, KnowledgeRows
from graphrec.data.integers import distinct, encode, read_columns, read_lists
from graphrec.errors import BadRowError, DamagedTableError, NothingLeftError

LISTS = ("train.txt", "sequence.txt")  # the first that is there holds the rows that are not test rows
PAIRS = "ratings_final.txt"
ITEM, ENTITY = KINDS.index("item"), KINDS.index("entity")


def read_lists_folder(path: Path) -> Folder:
    """Lines ``user item item …``, and what lies beside them."""
    file = next(path / name for name in LISTS if (path / name).is_file())
    user, item, users = read_lists(file)
    is_test = np.zeros(len(user), dtype=bool)
    has_test = (path / "test.txt").is_file()
    if has_test:
        test_user, test_item, test_users = read_lists(path / "test.txt")
        user, item = np.concatenate([user, test_user]), np.concatenate([item, test_item])
        users, is_test = _union(users, test_users), np.concatenate([is_test, np.ones(len(test_user), dtype=bool)])
    if not len(user):
        raise NothingLeftError(f"{file}: no interactions", "its lines are 'user item item …'")
    listed = _read_names(path / "item_list.txt", "item")
    if len(listed.ids):
        stray = item[~np.isin(item, listed.ids)]
        if len(stray):
            raise DamagedTableError(
                f"{path}: item {stray[0]} is not in item_list.txt", "complete the list or remove it"
            )
    count = max(int(item.max()), int(listed.ids.max(initial=-1))) + 1
    triples = _read_triples(path)
    named = _read_names(path / "entity_list.txt", "entity")
    relation_names = _read_names(path / "relation_list.txt", "relation")
    names = dict(zip(relation_names.ids.tolist(), relation_names.name, strict=True))
    interactions = InteractionRows(encode(user), encode(item), is_test, _read_places(path, user, item))
    items = _union(item, listed.ids, _below(triples, count, inside=True))
    entities = _union(named.ids[named.ids >= count], _below(triples, count, inside=False))
    user_names = _read_names(path / "user_list.txt", "user")
    return Folder(
        "lists",
        interactions,
        has_test,
        _knowledge(triples, count, names),
        _describe(_union(users, user_names.ids), **{ORIGINAL_ID: user_names}),
        _describe(items, **{ORIGINAL_ID: listed}, title=named),
        _describe(entities, title=named),
    )


def _read_places(path: Path, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
    """Each pair's place in its user's line of ``sequence.txt``, the last one, as a timestamp; −1 where it has none."""
    file = path / "sequence.txt"
    if not file.is_file():
        return {}
    who, what, listed = read_lists(file)
    if len(np.unique(listed)) < len(listed):
        raise DamagedTableError(f"{file}: a user has two lines", "join them in the order of use")
    users, items = _union(user, who), _union(item, what)
    known, asked = (
        np.searchsorted(users, one) * len(items) + np.searchsorted(items, other)
        for one, other in ((who, what), (user, item))
    )
    stray = np.flatnonzero(~np.isin(known, asked))
    if len(stray):
        pair = f"item {what[stray[0]]} of user {who[stray[0]]}"
        raise DamagedTableError(
            f"{file}: {pair} is neither in train.txt nor in test.txt", "complete the lists or remove it"
        )
    starts = np.flatnonzero(np.diff(who, prepend=-1))
    place = np.arange(len(who)) - np.repeat(starts, np.diff(starts, append=len(who)))
    last = dict(zip(known.tolist(), place.tolist(), strict=True))
    return {"timestamp": np.array([last.get(pair, -1) for pair in asked.tolist()])}


def read_pairs_folder(path: Path) -> Folder:
    """Rows of label 1 are interactions; those of label 0, which whoever made the set has drawn, are negatives."""
    rows = read_columns(path / PAIRS, 3)
    odd = np.flatnonzero(rows[:, 2] > 1)
    if len(odd):
        raise BadRowError(
            f"{path / 'ratings_final.txt'}: label {rows[odd[0], 2]} of row {odd[0] + 1} is neither 0 nor 1"
        )
    if not rows[:, 2].any():
        raise NothingLeftError(f"{path / 'ratings_final.txt'}: no row has label 1")
    count = int(rows[:, 1].max()) + 1
    triples = _read_triples(path)
    return Folder(
        "pairs",
        _labelled(rows, 1),
        False,
        _knowledge(triples, count, _aligned_names(path, triples)),
        _describe(distinct(rows[:, 0])),
        _describe(_union(rows[:, 1], _below(triples, count, inside=True))),
        _describe(_below(triples, count, inside=False)),
        negatives=_labelled(rows, 0),
    )


def _labelled(rows: np.ndarray, label: int) -> InteractionRows:
    """The pairs of one label."""
    user, item, _ = rows[rows[:, 2] == label].T
    return InteractionRows(encode(user), encode(item), np.zeros(len(user), dtype=bool))


@dataclass(frozen=True)
class _Names:
    ids: np.ndarray
    name: list[str]
    kind: list[str] | None = None


def _read_names(path: Path, what: str) -> _Names:
    """A list with a header row and the columns original id, new id, perhaps type and name; empty if there is none."""
    if not path.is_file():
        return _Names(np.zeros(0, dtype=np.int64), [])
    table = _read_plain(path)
    columns = table.column_names
    id_column = next((name for name in ("remap_id", f"{what}_id", "id") if name in columns), columns[-1])
    name_column = next((name for name in ("name", "title") if name in columns), None)
    name_column = name_column or next((name for name in columns if name != id_column), id_column)
    try:
        ids = table[id_column].cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise DamagedTableError(f"{path}: column {id_column!r} must hold whole numbers ({error})") from error
    if len(np.unique(ids)) < len(ids) or ids.min(initial=0) < 0:
        raise DamagedTableError(f"{path}: column {id_column!r} must hold distinct numbers >= 0")
    kind = table["type"].to_pylist() if "type" in columns else None
    return _Names(ids, table[name_column].to_pylist(), kind)


def _read_plain(path: Path, names: list[str] | None = None) -> pa.Table:
    """Tab- or blank-separated text without quoting; all columns as text."""
    with open(path, encoding="utf-8-sig", errors="replace") as lines:
        first = lines.readline().rstrip("\r\n")
    delimiter = "\t" if "\t" in first else " "
    columns = names or first.split(delimiter)
    if len(set(columns)) < len(columns):
        raise DamagedTableError(f"{path}: two columns have one name", "give each column a name of its own")
    try:
        return pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=columns, skip_rows=0 if names else 1),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()), null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DamagedTableError(f"{path}: {error}") from error


def _read_triples(path: Path) -> np.ndarray:
    """``kg_final.txt`` as int64 [n, 3] of head, relation, tail; no row if there is no such file."""
    file = path / "kg_final.txt"
    return read_columns(file, 3) if file.is_file() else np.zeros((0, 3), dtype=np.int64)


def _aligned_names(path: Path, triples: np.ndarray) -> dict[int, str]:
    """Relation names from ``kg.txt``, if it is ``kg_final.txt`` row for row; else none."""
    if not (path / "kg.txt").is_file() or not len(triples):
        return {}
    table = _read_plain(path / "kg.txt", ["head", "relation", "tail"])
    for place, column in ((0, "head"), (2, "tail")):
        if table[column].to_pylist() != triples[:, place].astype(str).tolist():
            return {}
    pairs = set(zip(triples[:, 1].tolist(), table["relation"].to_pylist(), strict=True))
    return dict(pairs) if len({number for number, _ in pairs}) == len(pairs) else {}


def _knowledge(triples: np.ndarray, count: int, names: dict[int, str]) -> KnowledgeRows | None:
    """Triples with names for their relations, or the numbers where names are missing or not distinct."""
    if not len(triples):
        return None
    numbers = distinct(triples[:, 1])
    relation = np.searchsorted(numbers, triples[:, 1])
    relations = tuple(names.get(number, "") for number in numbers.tolist())
    if "" in relations or len(set(relations)) < len(relations):
        relations = tuple(map(str, numbers.tolist()))
    kinds = np.where(triples < count, ITEM, ENTITY).astype(np.uint8)
    head, tail = encode(triples[:, 0]), encode(triples[:, 2])
    return KnowledgeRows(head, kinds[:, 0], relation.astype(np.int32), tail, kinds[:, 2], relations)


def _below(triples: np.ndarray, count: int, *, inside: bool) -> np.ndarray:
    """Distinct heads and tails that are items (``inside``) or entities."""
    nodes = distinct(triples[:, [0, 2]])
    return nodes[(nodes < count) == inside]


def _union(*parts: np.ndarray) -> np.ndarray:
    return distinct(np.concatenate(parts))


def _describe(ids: np.ndarray, **columns: _Names) -> Described:
    """Names and types for these ids where the lists have them."""
    attributes = {}
    for column, names in columns.items():
        texts = {column: names.name} | ({"type": names.kind} if names.kind else {})
        for title, text in texts.items():
            if len(names.ids) and len(text):
                order = np.argsort(names.ids)
                place = np.searchsorted(names.ids, ids, sorter=order).clip(max=len(order) - 1)
                rows = order[place]
                absent = names.ids[rows] != ids
                attributes[title] = pa.array(text, pa.large_string()).take(pa.array(rows, mask=absent))
    strings = pa.array(ids).cast(pa.large_string())
    return Described(strings, pa.table(attributes) if attributes else None)
