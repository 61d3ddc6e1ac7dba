"""KnowledgeKNN: an item is recommended because knowledge says of it what it says of the user's items.

I items, N nodes, F facts of all items together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from graphrec.graph import HeteroGraph
from graphrec.models.item_item import ItemItem, keep_largest, products


class KnowledgeKNN(ItemItem):
    """score(u, i) = Σ_j w_uj s(i, j) over u's items j,  s(i, j) = Σ_f t_if t_jf / (|t_i| |t_j|),  t_if = ln(I / d_f).

    A fact f of an item is a neighbour in the knowledge together with the relation to it, and d_f the number of items of
    which it is one: TF-IDF weights (Salton & Buckley 1988) and the cosine, with facts for words. A fact of all items
    says nothing. Departure: each item is a fact of its own besides, so that items of which little is known are less
    alike.

    It needs no interactions of the recommended item, so that items that nobody has used are served like any other.

    Args:
        graph: whose knowledge is compared by ``fit``; it uses the interactions for nothing but the users' items.
        settings: an ``ItemItemSettings``.
    """

    name: ClassVar[str] = "knowledge_knn"

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        if reason := super().obstacle(graph, settings):
            return reason
        known = graph.num_relations > 2 and len(_facts(graph)[0])
        return None if known else "no knowledge touches the items of the data"

    def nearest(self) -> Iterator[sparse.csr_array]:
        weights = self._weights()
        for row, block in products(weights, weights.T.tocsr()):
            block.data[row == block.indices] = 0
            yield keep_largest(block, self.settings.neighbours)

    def _weights(self) -> sparse.csr_array:
        """t, each row divided by its length, the items' own facts left out; float32 [I, F]."""
        item, fact = _facts(self.graph)
        size = self.graph.num_items
        number = np.unique(fact, return_inverse=True)[1]
        rarity = np.log(size / np.bincount(number))
        # a fact of its own is shared with nobody: all it does is to lengthen the row by ln I
        length = np.sqrt(np.bincount(item, rarity[number] ** 2, size) + np.log(max(size, 1)) ** 2)
        weight = (rarity[number] / np.maximum(length[item], np.finfo(float).tiny)).astype(np.float32)
        weights = sparse.csr_array((weight, (item, number)), shape=(size, len(rarity)))
        weights.eliminate_zeros()
        return weights


def _facts(graph: HeteroGraph) -> tuple[np.ndarray, np.ndarray]:
    """Item, and number of the fact, of each edge of the knowledge into an item; int64."""
    csr, items = graph.adjacency, graph.item_slice
    first, last = int(csr.rowptr[items.start]), int(csr.rowptr[items.stop])
    assert csr.edge_type is not None
    kind, node = (part[first:last].cpu().numpy().astype(np.int64) for part in (csr.edge_type, csr.col))
    item = np.repeat(np.arange(graph.num_items), csr.degree[items].cpu().numpy())
    known = kind >= 2
    return item[known], (kind * graph.num_nodes + node)[known]
