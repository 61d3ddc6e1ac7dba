"""The names of the columns we read, in one place, and how they are found in a caller's table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphrec.errors import ColumnError, DataError, UnknownNameError, nearest

KINDS = ("user", "item", "entity")  # in the order of the node numbering
ORIGINAL_ID = "original_id"  # what a known folder's lists call a user or item elsewhere
DELIMITERS = ("::", ",", "\t", ";", "|")
TYPED = re.compile(r":(token|float)(_seq)?$")  # what RecBole's headers say beside a name


@dataclass(frozen=True)
class Columns:
    """The columns of one kind of table.

    Args:
        table: what the table is called in messages.
        required: columns it must have; the first ones are ids.
        optional: columns that are read where they exist.
        attributes: whether all further columns are kept, as text.
        distinct: columns in which a value stands once.
    """

    table: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    attributes: bool = False
    distinct: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns with a meaning of their own."""
        return self.required + self.optional


INTERACTIONS = Columns("interactions", ("user_id", "item_id"), ("rating", "timestamp", "weight"))
KNOWLEDGE = Columns("knowledge", ("head", "relation", "tail"), ("head_type", "tail_type"))
ITEMS = Columns("items", ("item_id",), ("title",), attributes=True, distinct=("item_id",))
USERS = Columns("users", ("user_id",), ("title",), attributes=True, distinct=("user_id",))
LINKS = Columns("links", ("item_id", "entity_id"), distinct=("item_id", "entity_id"))

IDS = frozenset({"user_id", "item_id", "entity_id", "head", "relation", "tail"})
MOVIELENS = {  # the columns of files without a header row
    "ratings.dat": ("user_id", "item_id", "rating", "timestamp"),
    "movies.dat": ("item_id", "title", "genres"),
    "users.dat": ("user_id", "gender", "age", "occupation", "zip_code"),
}


def check_renamed(renamed: Mapping[str, str]) -> None:
    """Refuse a mapping whose keys are none of our column names.

    >>> check_renamed({"usr_id": "customer"})
    Traceback (most recent call last):
    ...
    graphrec.errors.UnknownNameError: GR061 there is no column 'usr_id' to rename
    did you mean user_id?
    """
    ours = list(dict.fromkeys(name for spec in (INTERACTIONS, KNOWLEDGE, ITEMS, USERS) for name in spec.names))
    for name in renamed:
        if name not in ours:
            hint = nearest(name, ours) or f"the columns are {', '.join(ours)}"
            raise UnknownNameError(f"there is no column {name!r} to rename", hint)


def resolve(spec: Columns, found: Sequence[str], renamed: Mapping[str, str], where: str) -> dict[str, str]:
    """Our name → the table's name, for each column that will be read.

    A renamed column is taken under the caller's name, or under ours where the table lacks the caller's; an optional
    column that is renamed must exist, but for a title. A type in the header, as in ``user_id:token``, is no part of a
    name.

    Args:
        spec: the columns looked for.
        found: the table's column names, in order.
        renamed: our name → the caller's.
        where: the file, for messages.

    Raises:
        DataError: a name occurs twice, or a needed column is missing.

    >>> resolve(INTERACTIONS, ["customer", "item_id", "colour"], {"user_id": "customer"}, "sales.csv")
    {'user_id': 'customer', 'item_id': 'item_id'}
    """
    plain = [TYPED.sub("", name) for name in found]
    repeated = sorted({name for name in plain if plain.count(name) > 1})
    if repeated:
        raise ColumnError(f"{where}: two columns are called {repeated[0]!r}", "give each column a name of its own")
    by_name = dict(zip(plain, found, strict=True))
    chosen = {}
    for name in spec.names:
        theirs = TYPED.sub("", renamed.get(name, name))
        if theirs in by_name or name in by_name:
            chosen[name] = by_name[theirs if theirs in by_name else name]
        elif name in spec.required or (name in renamed and not spec.attributes):
            raise _missing(spec, name, theirs, plain, where)
    if spec.attributes:
        taken = set(chosen.values())
        chosen |= {name: by_name[name] for name in plain if by_name[name] not in taken and name not in chosen}
    return chosen


def _missing(spec: Columns, name: str, theirs: str, found: Sequence[str], where: str) -> DataError:
    """The error for a column that is not there, with the most likely way out."""
    message = f"{where}: the {spec.table} table has no column {theirs!r}; it has {', '.join(map(repr, found))}"
    if len(found) == 1:
        for delimiter in DELIMITERS:
            if delimiter in found[0]:
                shown = repr(delimiter) if delimiter != "\t" else r"'\t'"
                return ColumnError(message, f"its columns seem to be parted by {shown}: pass --delimiter {shown}")
    likely = nearest(theirs, found) or nearest(theirs.replace("_", "").lower(), [other.lower() for other in found])
    rename = f"say which column it is with --column {name}=THEIRS, or name the columns of a headerless file"
    return ColumnError(message, f"{likely} {rename}".strip())
