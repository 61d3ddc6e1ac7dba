"""From rows with names to a Dataset of integers: ids by sort, duplicates joined, names typed, parts assigned."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from graphrec.data.columns import KINDS
from graphrec.data.dataset import Dataset, Interactions, Knowledge, Pairs
from graphrec.data.features import Side, make_features
from graphrec.data.formats import Described, InteractionRows, KnowledgeRows
from graphrec.data.ids import IdMap
from graphrec.data.split import assign_negatives, assign_parts
from graphrec.data.tables import used
from graphrec.data.values import UNTYPED
from graphrec.errors import CombinationError, DataError, NothingLeftError, UsageError

USER, ITEM, ENTITY = range(len(KINDS))
DECIMAL = r"^(0|[1-9][0-9]{0,17})$"  # integers whose text can be rebuilt from their value


@dataclass(frozen=True)
class Listed:
    """What was read beside the interactions, before it is numbered.

    Args:
        triples: knowledge, if there is any.
        users, items, entities: ids from lists, with their attributes.
        numbered: whether the ids are a known folder's integers, which keep numeric order.
        side: what features are made of besides the attributes.
    """

    triples: KnowledgeRows | None
    users: Described
    items: Described
    entities: Described
    numbered: bool
    side: Side


@dataclass(frozen=True)
class Gathered(Listed):
    """All that was read; ``rows`` are the interactions, ``negatives`` the pairs that are labelled as none."""

    rows: InteractionRows
    negatives: InteractionRows | None = None


def assemble(
    data: Gathered, source: dict[str, Any], *, split: str | None, seed: int, min_rating: float | None
) -> Dataset:
    """Number the ids, join duplicates and assign parts; what was counted on the way is added to ``source``."""
    rows = data.rows
    if min_rating is not None:
        rows = _rated(rows, min_rating)
    below = len(data.rows) - len(rows)
    nodes = number_nodes(data, rows.user.dictionary, rows.item.dictionary)
    split = split or default_split(rows.values, any_test=bool(rows.is_test.any()))
    interactions = _interactions(rows, nodes.users, nodes.items, split, seed)
    source |= {"split": split, "seed": seed, "min_rating": min_rating, "below_min_rating": below}
    source["duplicates"] = len(rows) - len(interactions)
    if data.negatives is not None:
        nodes = replace(nodes, negatives=_negatives(data.negatives, nodes, interactions, seed, source))
    return replace(nodes, interactions=interactions, source=source | nodes.source)


def number_nodes(data: Listed, users: pa.Array, items: pa.Array) -> Dataset:
    """Users, items, entities and the knowledge about them, without interactions.

    Args:
        data: knowledge and lists.
        users, items: names that the interactions use.
    """
    triples = data.triples
    user_ids = _number([users, data.users.ids, *_named(triples, USER)], data.numbered)
    item_ids = _number([items, data.items.ids, *_named(triples, ITEM)], data.numbered)
    if triples is not None:
        triples = _typed_by_catalogue(triples, item_ids)
        _check_reach(triples, item_ids)
    entities = _number([data.entities.ids, *_named(triples, ENTITY)], data.numbered)
    knowledge = Knowledge() if triples is None else _knowledge(triples, (user_ids, item_ids, entities))
    tables = {"user": _aligned(data.users, user_ids), "item": _aligned(data.items, item_ids)}
    features, facts = make_features(tables, {"user": user_ids, "item": item_ids}, data.side)
    source = {"duplicate_triples": (0 if triples is None else len(triples.relation)) - len(knowledge)}
    return Dataset(
        user_ids,
        item_ids,
        entities,
        Interactions(*(np.empty(0, kind) for kind in (np.int32, np.int32, np.uint8, np.int32))),
        knowledge,
        user_table=tables["user"],
        item_table=tables["item"],
        source=source | {"features": facts},
        entity_table=_aligned(data.entities, entities),
        features=features,
    )


def default_split(columns: Container[str], *, any_test: bool) -> str:
    """The split where none was asked for: given where there are test rows, else last with timestamps, else random."""
    return "given" if any_test else "last" if "timestamp" in columns else "random"


def check_given(split: str, *, any_test: bool) -> None:
    """Refuse another split than ``given`` for rows that came as test rows."""
    if split != "given" and any_test:
        raise CombinationError(
            f"split {split!r} was asked for, and the source brings its own test rows", "use split given"
        )


def _rated(rows: InteractionRows, least: float) -> InteractionRows:
    """The rows rated ``least`` or higher, and only their ids."""
    if "rating" not in rows.values:
        raise unrated()
    keep = rows.values["rating"] >= least
    if not keep.any():
        raise all_below(least, float(np.nanmax(rows.values["rating"])))
    values = {name: value[keep] for name, value in rows.values.items()}
    return InteractionRows(used(rows.user, keep), used(rows.item, keep), rows.is_test[keep], values)


def unrated() -> UsageError:
    """The error for ``min_rating`` without ratings."""
    return CombinationError("min_rating needs a rating column, and the interactions have none", "leave min_rating out")


def all_below(least: float, highest: float) -> DataError:
    """The error for a ``min_rating`` that no row reaches."""
    return NothingLeftError(f"no row has a rating >= {least:g}; the highest is {highest:g}", "lower min_rating")


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


def _check_reach(triples: KnowledgeRows, items: IdMap) -> None:
    """Refuse knowledge that is about nothing in the interactions: its ids are of another kind."""
    if len(triples.relation) and all((kinds == ENTITY).all() for kinds in (triples.head_kind, triples.tail_kind)):
        message = (
            f"the knowledge mentions no item: it has {triples.head[0].as_py()!r}, the items {items.names([0])[0]!r}"
        )
        raise DataError(message, "write the items in both with the same ids, or name them in a column head_type")


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
    starts, counts = runs(key)
    last = order[starts + counts - 1]
    user, item, is_test = unpack(key[starts], len(items))
    values = {name: value[last] for name, value in rows.values.items()}
    check_given(split, any_test=bool(is_test.any()))
    part = assign_parts(user, item, split=split, seed=seed, timestamp=values.get("timestamp"), is_test=is_test)
    return Interactions(user, item, part, counts.astype(np.int32), **values)


def _negatives(
    rows: InteractionRows, nodes: Dataset, interactions: Interactions, seed: int, source: dict[str, Any]
) -> Pairs:
    """One entry for each distinct pair of label 0 that is no interaction too; ``source`` is told of the others."""
    size = nodes.num_items
    keys = np.unique(nodes.users.encode(rows.user).astype(np.int64) * size + nodes.items.encode(rows.item))
    both = np.isin(keys, interactions.user.astype(np.int64) * size + interactions.item)
    source["duplicates"] += len(rows) - len(keys)
    source["both_labels"] = int(both.sum())
    user, item = (place.astype(np.int32) for place in np.divmod(keys[~both], size))
    return Pairs(user, item, assign_negatives(user, item, seed=seed))


def runs(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each run of equal values starts in sorted keys ≥ 0, and how long it is.

    >>> runs(np.array([4, 4, 9]))
    (array([0, 2]), array([2, 1]))
    """
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    return starts, np.diff(starts, append=len(key))


def unpack(key: np.ndarray, num_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, item and whether it came as test, of keys (user · num_items + item) · 2 + is_test."""
    pair = key // 2
    return (pair // num_items).astype(np.int32), (pair % num_items).astype(np.int32), key % 2 == 1


def _aligned(listed: Described, ids: IdMap) -> pa.Table | None:
    """Attributes with row i for index i; null for ids that the list lacks."""
    if listed.attributes is None:
        return None
    rows = np.full(len(ids), -1, dtype=np.int64)
    rows[ids.lookup(listed.ids)] = np.arange(len(listed.ids))
    return listed.attributes.take(pa.array(rows, mask=rows < 0)).combine_chunks()
