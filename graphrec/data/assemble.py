"""From rows with names to a Dataset of integers: ids by sort, duplicates joined, names typed, parts assigned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from graphrec.data.columns import KINDS
from graphrec.data.dataset import Dataset, Interactions, Knowledge
from graphrec.data.formats import Described, InteractionRows, KnowledgeRows
from graphrec.data.ids import IdMap
from graphrec.data.split import assign_parts
from graphrec.data.tables import used
from graphrec.data.values import UNTYPED
from graphrec.errors import DataError, UsageError

USER, ITEM, ENTITY = range(len(KINDS))
DECIMAL = r"^(0|[1-9][0-9]{0,17})$"  # integers whose text can be rebuilt from their value


@dataclass(frozen=True)
class Gathered:
    """All that was read, before it is numbered.

    Args:
        rows: interactions.
        triples: knowledge, if there is any.
        users, items, entities: ids from lists, with their attributes.
        numbered: whether the ids are a known folder's integers, which keep numeric order.
    """

    rows: InteractionRows
    triples: KnowledgeRows | None
    users: Described
    items: Described
    entities: Described
    numbered: bool


def assemble(
    data: Gathered, source: dict[str, Any], *, split: str | None, seed: int, min_rating: float | None
) -> Dataset:
    """Number the ids, join duplicates and assign parts; what was counted on the way is added to ``source``."""
    rows, triples = data.rows, data.triples
    if min_rating is not None:
        rows = _rated(rows, min_rating)
    below = len(data.rows.is_test) - len(rows.is_test)
    users = _number([rows.user.dictionary, data.users.ids, *_named(triples, USER)], data.numbered)
    items = _number([rows.item.dictionary, data.items.ids, *_named(triples, ITEM)], data.numbered)
    if triples is not None:
        triples = _typed_by_catalogue(triples, items)
    entities = _number([data.entities.ids, *_named(triples, ENTITY)], data.numbered)
    knowledge = Knowledge() if triples is None else _knowledge(triples, (users, items, entities))
    split = split or ("given" if rows.is_test.any() else "last" if "timestamp" in rows.values else "random")
    interactions = _interactions(rows, users, items, split, seed)
    source |= {"split": split, "seed": seed, "min_rating": min_rating, "below_min_rating": below}
    source["duplicates"] = len(rows.is_test) - len(interactions)
    source["duplicate_triples"] = (0 if triples is None else len(triples.relation)) - len(knowledge)
    return Dataset(
        users,
        items,
        entities,
        interactions,
        knowledge,
        user_table=_aligned(data.users, users),
        item_table=_aligned(data.items, items),
        source=source,
        entity_table=_aligned(data.entities, entities),
    )


def _rated(rows: InteractionRows, least: float) -> InteractionRows:
    """The rows rated ``least`` or higher, and only their ids."""
    if "rating" not in rows.values:
        raise UsageError("min_rating needs a rating column, and the interactions have none", "leave min_rating out")
    keep = rows.values["rating"] >= least
    if not keep.any():
        highest = np.nanmax(rows.values["rating"])
        raise DataError(f"no row has a rating >= {least:g}; the highest is {highest:g}", "lower min_rating")
    values = {name: value[keep] for name, value in rows.values.items()}
    return InteractionRows(used(rows.user, keep), used(rows.item, keep), rows.is_test[keep], values)


def _number(parts: list[pa.Array], numbered: bool) -> IdMap:
    """All ids of the parts as one map, in numeric order if they are a known folder's integers and nothing else."""
    names = pa.concat_arrays(parts)
    if numbered and pc.all(pc.match_substring_regex(names, DECIMAL), min_count=0).as_py():
        return IdMap.from_integers(names.cast(pa.int64()).to_numpy())
    return IdMap.from_values(names)


def _named(triples: KnowledgeRows | None, kind: int) -> list[pa.Array]:
    """The names that heads and tails of this kind use."""
    if triples is None:
        return []
    sides = ((triples.head, triples.head_kind), (triples.tail, triples.tail_kind))
    return [used(names, kinds == kind).dictionary for names, kinds in sides]


def _typed_by_catalogue(triples: KnowledgeRows, items: IdMap) -> KnowledgeRows:
    """An untyped name is an item if the catalogue has it, else an entity; never a user."""
    head, tail = (
        np.where(kinds == UNTYPED, np.where(items.encode(names) >= 0, ITEM, ENTITY), kinds)
        for names, kinds in ((triples.head, triples.head_kind), (triples.tail, triples.tail_kind))
    )
    return replace(triples, head_kind=head, tail_kind=tail)


def _knowledge(triples: KnowledgeRows, maps: tuple[IdMap, ...]) -> Knowledge:
    """Distinct triples of nodes; relations in the order of their names, or of a known folder's numbers."""
    first_node = np.cumsum([0, *map(len, maps)])
    head, tail = (
        np.choose(kinds, [ids.encode(names) + start for ids, start in zip(maps, first_node[:-1], strict=True)])
        for names, kinds in ((triples.head, triples.head_kind), (triples.tail, triples.tail_kind))
    )
    order = np.lexsort((tail, triples.relation, head))
    table = np.stack([head[order], triples.relation[order], tail[order]])
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (table[:, 1:] != table[:, :-1]).any(axis=0)
    head, relation, tail = table[:, fresh].astype(np.int32)
    return Knowledge(head, relation, tail, triples.relations)


def _interactions(rows: InteractionRows, users: IdMap, items: IdMap, split: str, seed: int) -> Interactions:
    """One entry for each distinct (user, item, given as test): the last row's values, and the count of rows."""
    key = users.encode(rows.user).astype(np.int64)
    key *= len(items)
    key += items.encode(rows.item)
    key *= 2
    key += rows.is_test
    times = rows.values.get("timestamp")
    order = np.argsort(key, kind="stable") if times is None else np.lexsort((times, key))
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    counts = np.diff(starts, append=len(key))
    last = order[starts + counts - 1]
    pair, is_test = key[starts] // 2, key[starts] % 2 == 1
    user, item = (pair // len(items)).astype(np.int32), (pair % len(items)).astype(np.int32)
    values = {name: value[last] for name, value in rows.values.items()}
    if split != "given" and is_test.any():
        raise UsageError(f"split {split!r} was asked for, and the source brings its own test rows", "use split given")
    part = assign_parts(user, item, split=split, seed=seed, timestamp=values.get("timestamp"), is_test=is_test)
    return Interactions(user, item, part, counts.astype(np.int32), **values)


def _aligned(listed: Described, ids: IdMap) -> pa.Table | None:
    """Attributes with row i for index i; null for ids that the list lacks."""
    if listed.attributes is None:
        return None
    rows = np.full(len(ids), -1, dtype=np.int64)
    rows[ids.lookup(listed.ids)] = np.arange(len(listed.ids))
    return listed.attributes.take(pa.array(rows, mask=rows < 0)).combine_chunks()
