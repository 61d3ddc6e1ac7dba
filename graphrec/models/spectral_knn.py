"""SpectralKNN: the graph filter as a table of neighbours, made once, so that it ranks in a fraction of the time.

I items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse

from graphrec.graph import HeteroGraph
from graphrec.models.item_item import ItemItem, ItemItemSettings
from graphrec.models.spectral import Spectral, SpectralSettings
from graphrec.ranking import topk_rows
from graphrec.sparse import CSR
from graphrec.sparse.spectrum import WIDTH


@dataclass(frozen=True)
class SpectralKNNSettings(ItemItemSettings, SpectralSettings):
    """Settings of the graph filter, and how many neighbours each used item keeps."""


class SpectralKNN(ItemItem):
    """score(u, i) = Σ_j w_uj s(j, i) over u's items j,  s = Di^-β p(R̃ᵀR̃) Di^β + α Di^-γ V Vᵀ Di^γ.

    The score of ``Spectral``, whose filter is linear in what a person used, with the ``neighbours`` largest s(j, i) of
    each used item j alone. Departures: those; and an item does not speak for itself.

    Args:
        graph: whose interactions are filtered by ``fit``; it uses no knowledge.
        settings: a ``SpectralKNNSettings``.
    """

    name: ClassVar[str] = "spectral_knn"
    Settings: ClassVar[type] = SpectralKNNSettings

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        return Spectral.obstacle(graph, settings)

    def nearest(self) -> Iterator[sparse.csr_array]:
        """All of the table at once, each row the filter of one item alone."""
        whole, device, size = Spectral(self.graph, self.settings), self.graph.device, self.graph.num_items
        whole.to(device).fit()
        count = min(self.settings.neighbours, size)
        # in one piece: many small ones, made between large ones that come and go, scatter memory (5 GB on Gowalla)
        value, col = np.empty((size, count), np.float32), np.empty((size, count), np.int32)
        for items in torch.arange(size, device=device).split(WIDTH) if size else ():
            scores = whole.fold_in(CSR(torch.arange(len(items) + 1, device=device), items.int(), size))
            scores[torch.arange(len(items), device=device), items] = -torch.inf
            rows = items.cpu().numpy()
            value[rows], col[rows] = (part.cpu().numpy() for part in topk_rows(scores, count))
        value[value == -np.inf] = 0.0
        table = sparse.csr_array((value.ravel(), col.ravel(), np.arange(size + 1) * count), shape=(size, size))
        table.eliminate_zeros()
        yield table.T.tocsr()
