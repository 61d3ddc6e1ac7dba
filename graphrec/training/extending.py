"""A finished model on newer data, without training."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrec.config import RunConfig
from graphrec.data import Dataset
from graphrec.graph import HeteroGraph
from graphrec.models import EmbeddingModel, Fused, Model, TrainedModel, build_model, views_of
from graphrec.sampling import Fanout, generator_for
from graphrec.sparse import CSR, spmm
from graphrec.training.fitting import graph_for
from graphrec.training.inference import embed
from graphrec.training.views import check_views
from graphrec.training.warm import Start, known_nodes, take_over


def extend_model(dataset: Dataset, config: RunConfig, start: Start, fanout: Fanout | None = None) -> Model:
    """The same model on newer data, without training: new users, items, entities and edges.

    Vectors learned by gradient stay; new nodes start at zero and get theirs from their edges. Views in closed form are
    computed anew. The weights of a fusion stay.

    Args:
        dataset: the newer data.
        config: of the earlier run.
        start: the earlier model and its data.
        fanout: None leaves everybody's vectors to be computed from all edges; else those that an earlier node had stay,
            and nodes that are new or have other edges get theirs from samples.

    Raises:
        DataError: the model, or a view of a fusion, cannot carry the newer data.
        UsageError: the fan-out does not fit the model or its graph.
    """
    graph = graph_for(dataset, config)
    check_views(config, graph)
    model = build_model(config.model, graph, config.models)
    for name, view in views_of(model).items():
        if isinstance(view, TrainedModel):
            take_over(view, name, dataset, start)
        else:
            view.fit()
    if isinstance(model, Fused) and isinstance(start.model, Fused):
        model.copy_weights(start.model)
    model.eval()
    for name, view in views_of(model).items():
        if fanout is not None and isinstance(view, EmbeddingModel):
            view.put_vectors(_extended(view, name, dataset, start, fanout))
    return model


def _extended(view: EmbeddingModel, name: str, dataset: Dataset, start: Start, fanout: Fanout) -> Tensor:
    """Final vectors of users and items, float32 [U + I, W]: the earlier ones where no edge of a node has changed."""
    old = start.view(name)
    assert isinstance(old, EmbeddingModel)
    size = view.graph.num_users + view.graph.num_items
    known = known_nodes(dataset, start.dataset)
    now, before = (nodes[known[0] < size] for nodes in known)  # users and items
    vectors = torch.empty(size, view.settings.width)
    vectors[now] = torch.cat([old.user_vectors(), old.item_vectors()])[before].detach()
    others = _with_other_edges(view.graph, old.graph, known)[:size].nonzero()[:, 0]
    vectors[others] = embed(view, others, fanout)
    return vectors


def _with_other_edges(graph: HeteroGraph, earlier: HeteroGraph, known: tuple[Tensor, Tensor]) -> Tensor:
    """bool [N], True for the graph's nodes that are new or whose edges are not those of before.

    A node's edges are known by the sum over them of a number drawn for the neighbour times one drawn for the relation's
    name, twice; whole numbers, so that sums are exact in any order.
    """
    now, before = (nodes[(known[0] < graph.num_nodes) & (known[1] < earlier.num_nodes)] for nodes in known)
    generator = generator_for(0)
    numbers, earlier_numbers = (
        torch.randint(1, 2**20, (nodes, 2), generator=generator).double()
        for nodes in (graph.num_nodes, earlier.num_nodes)
    )
    earlier_numbers[before] = numbers[now]
    names = sorted({*graph.relations, *earlier.relations})
    of_name = dict(zip(names, torch.randint(1, 2**10, (len(names),), generator=generator).tolist(), strict=True))
    sums, earlier_sums = (
        spmm(_weighed(one.adjacency, [of_name[name] for name in one.relations]), drawn)
        for one, drawn in ((graph, numbers), (earlier, earlier_numbers))
    )
    changed = torch.ones(graph.num_nodes, dtype=torch.bool)
    changed[now] = (sums[now] != earlier_sums[before]).any(dim=1)
    return changed


def _weighed(csr: CSR, of_type: list[int]) -> CSR:
    """The edges with a value for each of their types."""
    assert csr.edge_type is not None
    return csr.with_value(torch.tensor(of_type, dtype=torch.float32)[csr.edge_type])
