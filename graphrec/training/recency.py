"""How much more newer items count, chosen where held-out rows show it."""

from __future__ import annotations

import torch

from graphrec.data import Dataset, Part
from graphrec.evaluation import evaluate
from graphrec.graph import defer_graph
from graphrec.models.base import ranges_of
from graphrec.models.item_knn import ItemKNN, ItemKNNSettings
from graphrec.models.recency import RecencySettings
from graphrec.models.timeline import has_times
from graphrec.sampling import generator_for
from graphrec.training.fitting import keep_rows, part_csr

MAX_ROWS = 5_000_000  # comparing the items of more takes minutes
MAX_JUDGES = 5_000


def choose_recency(dataset: Dataset, *, seed: int = 0) -> float:
    """The ``recency`` of ``RecencySettings`` under which ``item_knn`` has the best recall@20 on select rows.

    Fitting does not depend on it, so that one fit serves all that are tried. It is 0 without timestamps or select rows,
    and for more rows than ``MAX_ROWS``; of equals it is the least.

    Args:
        dataset: fit and select rows are read.
        seed: of the draw of at most ``MAX_JUDGES`` users whose lists are judged.

    Returns:
        ρ, one of the values that a search tries.
    """
    graph, select = defer_graph(dataset), part_csr(dataset, Part.SELECT)
    judges = (select.degree > 0).nonzero()[:, 0]
    if not has_times(graph) or not len(judges) or graph.seen.num_edges > MAX_ROWS:
        return 0.0
    drawn = torch.randperm(len(judges), generator=generator_for(seed))[:MAX_JUDGES]
    select = keep_rows(select, judges[drawn])
    tried = ranges_of(RecencySettings)["recency"].choices
    models = {recency: ItemKNN(graph, ItemKNNSettings(recency=recency)) for recency in tried}
    models[0.0].fit()
    found = {}
    for recency, model in models.items():
        model.load_state_dict(models[0.0].state_dict())
        found[recency] = evaluate(model.score_block, train=graph.seen, test=select, ks=(20,)).metrics["recall@20"]
    return max(found, key=lambda recency: found[recency])
