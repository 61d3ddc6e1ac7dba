"""From a data set to the graph that models propagate on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrec.data import Dataset, Part
from graphrec.graph.hetero import INTERACTS, HeteroGraph, assemble


def build_graph(dataset: Dataset, parts: Sequence[Part] = (Part.FIT,), *, knowledge: bool = True) -> HeteroGraph:
    """The propagation graph: interactions of the given parts and the knowledge, each edge beside its inverse.

    No row of another part becomes an edge. A triple that joins a node to itself tells propagation nothing; it is left
    out and counted.

    Args:
        dataset: users, items, entities, rows and triples.
        parts: whose rows may be known; fit rows alone unless a model is trained again on all training rows.
        knowledge: False leaves the triples out; the entities stay as nodes.

    Raises:
        DataError: two relations of the knowledge would have one name in the graph.
    """
    user, item = dataset.interactions.select(*parts)
    sizes = (dataset.num_users, dataset.num_items, dataset.num_entities)
    names = [INTERACTS]
    source, target, relation = [user], [item + dataset.num_users], [np.zeros(len(user), np.int32)]
    if knowledge:
        facts = dataset.knowledge
        names += facts.relations
        source.append(facts.head)
        target.append(facts.tail)
        relation.append(facts.relation + 1)
    return assemble(sizes, names, np.concatenate(source), np.concatenate(target), np.concatenate(relation))
