"""Why an item was recommended: which view spoke, over which paths, and what the score is without them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.models import AdditiveModel, EmbeddingModel, Fused, History, Model, views_of
from graphrec.sparse import CSR

Comparing = AdditiveModel | History | EmbeddingModel
"""Views whose scores are sums over the used items; of an embedding model, where there is recency."""


@dataclass(frozen=True)
class Path:
    """One way from the user to the item.

    Args:
        nodes: node numbers, the user first, the item last.
        relations: names of the edge types between them, one fewer than nodes.
        weight: product along the path of the factors with which each node takes in the next one's vector (attention
            times LightGCN's row scale, averaged over heads and layers); for item–item similarity and history, what the
            used item adds to the score.
        effect: the score minus the score when the path's edges are not in the graph, all parameters as they are.
    """

    nodes: tuple[int, ...]
    relations: tuple[str, ...]
    weight: float
    effect: float


@dataclass(frozen=True)
class Explanation:
    """What stands behind one score.

    Args:
        score: of the pair, as ``recommend`` gives it.
        views: each view's part of the score; they sum to it. A single model is one view.
        path_view: the view whose paths are shown, the graph or item–item view with the largest part; None if there
            is none.
        paths: strongest first by weight; empty where no path of at most three edges joins the pair.
    """

    score: float
    views: dict[str, float]
    path_view: str | None
    paths: tuple[Path, ...]


def explain_pair(model: Model, user: int, item: int, *, count: int = 5) -> Explanation:
    """Explain the score of one user and item.

    Paths are chosen by their weight in the model and then tested: the effect of each is measured by scoring again
    without its edges, so a path that matters little says so.

    Args:
        model: fitted.
        user, item: user and item number.
        count: paths to show, at most.
    """
    users, items = (torch.tensor([number], device=model.graph.device) for number in (user, item))
    score = float(model.score_block(users)[0, item])
    views, members = {model.name: score}, views_of(model)
    if isinstance(model, Fused):
        views = dict(zip(model.views, model.view_parts(user, items)[:, 0].tolist(), strict=True))
        if model.chosen is not None:
            members = {model.chosen: members[model.chosen]}
    tellers = [name for name, member in members.items() if _has_paths(member)]
    if not tellers:
        return Explanation(score, views, None, ())
    teller = max(tellers, key=lambda name: views[name])
    member = members[teller]
    assert isinstance(member, Comparing)
    if isinstance(member, EmbeddingModel) and member.settings.recency == 0:
        found = _graph_paths(member, user, item, count)
    else:
        found = _similarity_paths(member, user, item, count)
    paths = tuple(
        Path(nodes, relations, weight, score - _score_without(model, nodes, user, item))
        for nodes, relations, weight in found
    )
    return Explanation(score, views, teller, paths)


def _has_paths(member: Model) -> bool:
    """Whether a view's score comes over edges; that of an embedding model without layers does not."""
    if isinstance(member, EmbeddingModel):
        return bool(member.settings.layers > 0 or member.settings.recency > 0)
    return isinstance(member, Comparing)


FoundPath = tuple[tuple[int, ...], tuple[str, ...], float]


def _graph_paths(model: EmbeddingModel, user: int, item: int, count: int) -> list[FoundPath]:
    """The strongest paths of one to three edges, user ← … ← item, one for each sequence of nodes."""
    csr, target = model.graph.adjacency, model.graph.num_users + item
    last = _edges_from(csr, target)
    first = _edges_into(csr, torch.tensor([user], device=csr.device))
    middle = _edges_into(csr, csr.col[first].long().unique())
    ends = csr.row_index()[last]
    middle = middle[torch.isin(csr.col[middle].long(), ends) & (csr.col[middle] != user)]
    strength = {int(edge): weight for edge, weight in _zip_weights(model, torch.cat([first, middle, last]).unique())}
    hop = _best_edges(csr, strength)
    candidates: dict[tuple[int, ...], tuple[int, ...]] = {}
    for (row, col), edge in hop.items():
        if row == user and col == target:
            candidates[user, target] = (edge,)
        elif row == user and (col, target) in hop:
            candidates[user, col, target] = (edge, hop[col, target])
        elif (user, row) in hop and (col, target) in hop and target not in (row, col) and user not in (row, col):
            candidates[user, row, col, target] = (hop[user, row], edge, hop[col, target])
    scored = [(_product([strength[edge] for edge in edges]), nodes, edges) for nodes, edges in candidates.items()]
    scored.sort(key=lambda found: (-found[0], found[1]))
    assert csr.edge_type is not None
    names = model.graph.relations
    return [
        (nodes, tuple(names[int(csr.edge_type[edge])] for edge in edges), weight)
        for weight, nodes, edges in scored[:count]
    ]


def _similarity_paths(model: Comparing, user: int, item: int, count: int) -> list[FoundPath]:
    """The used items that add most to the score."""
    history = model.used.take_rows(torch.tensor([user], device=model.graph.device))
    used, added = history.col, model.contributions(history, item)
    order = torch.argsort(added, descending=True, stable=True)[:count]
    first = model.graph.num_users
    return [
        ((user, first + int(used[place]), first + item), ("rev_interacts", "similar"), float(added[place]))
        for place in order
        if added[place] > 0
    ]


def _score_without(model: Model, nodes: tuple[int, ...], user: int, item: int) -> float:
    """The pair's score when the edges between consecutive nodes are not in the graph."""
    graph = model.graph.without_edges(torch.tensor(nodes[:-1]), torch.tensor(nodes[1:]))
    users = torch.tensor([user], device=graph.device)
    return float(model.on_graph(graph).score_block(users)[0, item])


def _edges_into(csr: CSR, rows: Tensor) -> Tensor:
    """Edge numbers of whole rows."""
    count = csr.degree[rows]
    first = csr.rowptr[rows] - (count.cumsum(0) - count)
    return first.repeat_interleave(count) + torch.arange(int(count.sum()), device=csr.device)


def _edges_from(csr: CSR, node: int) -> Tensor:
    """Edge numbers of a whole column."""
    transposed, permutation = csr.transpose
    return permutation[int(transposed.rowptr[node]) : int(transposed.rowptr[node + 1])].long()


def _zip_weights(model: EmbeddingModel, edges: Tensor) -> zip[tuple[int, float]]:
    with torch.no_grad():
        weights = model.edge_weights(edges).mean(dim=0)
    return zip(edges.tolist(), weights.tolist(), strict=True)


def _best_edges(csr: CSR, strength: dict[int, float]) -> dict[tuple[int, int], int]:
    """The strongest edge of each pair of nodes (several relations may join one pair)."""
    edges = torch.tensor(list(strength), dtype=torch.int64, device=csr.device)
    rows, cols = csr.row_index()[edges].tolist(), csr.col[edges].tolist()
    best: dict[tuple[int, int], int] = {}
    for row, col, edge in zip(rows, cols, edges.tolist(), strict=True):
        if (row, col) not in best or strength[edge] > strength[best[row, col]]:
            best[row, col] = edge
    return best


def _product(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).prod())
