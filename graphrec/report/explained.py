"""What the report says of why: attention by relation, and a few people's lists with their reasons."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models import GAT, views_of
from graphrec.reasons import ExplainedPair
from graphrec.recommender import Recommender
from graphrec.report import page, plots
from graphrec.report.page import Html

NODES_SAMPLED = 2000
PEOPLE = {0.9: "an active user", 0.5: "a typical user", 0.1: "a quiet user"}
LISTED = 5
REMEMBERED = 6


def attention_section(recommender: Recommender) -> Html | None:
    """Which relations a graph-attention view listens to, by kind of node; None where there is no such view."""
    views = [view for view in views_of(recommender.model).values() if isinstance(view, GAT)]
    if not views:
        return None
    figures, rows = [], []
    for kind, shares in attention_shares(views[0]).items():
        names = [_in_words(relation) for relation in shares]
        before, after = ([pair[place] for pair in shares.values()] for place in (0, 1))
        rows += [(name, f"{kind}", *pair) for name, pair in zip(names, shares.values(), strict=True)]
        told = "; ".join(
            f"{name} {a:.0%}, before training {b:.0%}" for name, b, a in zip(names, before, after, strict=True)
        )
        source = plots.bars(names, {"learned": after, "before training": before}, x_label="share of attention")
        figures.append(page.figure(source, f"Attention of {kind} by relation: {told}", f"What {kind} attend to."))
    if not rows:
        words = "Every node has edges of one relation only, so there is nothing to weigh between relations."
        return page.section("Attention", page.tag("p", words))
    words = (
        "Each node spreads an attention of 1 over its edges. Shown is the mean share that goes to each relation, over "
        "layers and heads, beside the share before training, when attention is that of LightGCN's propagation."
    )
    listed = page.table("Share of attention", ["relation", "of", "before training", "learned"], rows)
    return page.section("Attention", page.tag("p", words), page.tag("div", *figures, class_="figures"), listed)


def attention_shares(view: GAT) -> dict[str, dict[str, tuple[float, float]]]:
    """Each relation's mean share of attention, at the start and learned, by kind of node.

    Kinds whose nodes have edges of one relation each are left out.

    The mean is over at most 2,000 evenly spaced nodes of the kind, and over layers and heads.
    """
    graph, found = view.graph, {}
    kinds = {"users": graph.user_slice, "items": graph.item_slice, "entities": graph.entity_slice}
    for kind, own in kinds.items():
        shares = _shares_of(view, graph, own)
        if shares:
            found[kind] = dict(sorted(shares.items(), key=lambda entry: -entry[1][1]))
    return found


def people_section(recommender: Recommender) -> Html | None:
    """The best items of an active, a typical and a quiet user, each with its first reason."""
    seen = recommender.model.graph.seen
    degree = seen.degree.cpu().numpy()
    known = np.flatnonzero(degree)
    if not len(known):
        return None
    by_degree = known[np.argsort(degree[known], kind="stable")]
    chosen = {int(by_degree[round(share * (len(by_degree) - 1))]): words for share, words in PEOPLE.items()}
    parts = [_person(recommender, user, words) for user, words in chosen.items()]
    return page.section("A few people", *[piece for part in parts for piece in part])


def _person(recommender: Recommender, user: int, words: str) -> list[Html]:
    dataset, used = recommender.dataset, recommender.model.graph.seen.rows(user)
    user_id = dataset.node_id(user)[1]
    names = [dataset.node_name(dataset.num_users + int(item)) for item in used[:REMEMBERED]]
    more = f", and {len(used) - REMEMBERED:,} more" if len(used) > REMEMBERED else ""
    history = page.tag("p", "Has used ", ", ".join(names), more, ".", class_="quiet")
    listed = recommender.recommend([user_id], k=LISTED)
    pairs = [recommender.explain(user_id, item, count=1) for item in listed["item_id"]]
    rows = [(place, _item(pair), pair.score, _reason(pair)) for place, pair in enumerate(pairs, start=1)]
    title = page.tag("h3", page.tag("code", user_id), f", {words}")
    return [title, history, page.table(f"Recommended to {user_id}", ["rank", "item", "score", "first reason"], rows)]


def _item(pair: ExplainedPair) -> Html:
    return page.join([pair.title, page.tag("small", pair.item_id) if pair.title != pair.item_id else ""])


def _reason(pair: ExplainedPair) -> Html:
    """The strongest path, what the score loses without it, and which view spoke loudest."""
    spoken = ""
    if len(pair.views) > 1:
        loudest = max(pair.views, key=lambda name: pair.views[name])
        spoken = f"{loudest} gives {pair.views[loudest]:.3g} of the score. "
    if not pair.reasons:
        return page.join([spoken or "–"])
    first = pair.reasons[0]
    return page.join(
        [first.text, page.tag("small", f"{spoken}Without this path the score changes by {-first.effect:+.3g}.")]
    )


def _shares_of(view: GAT, graph: HeteroGraph, own: slice) -> dict[str, tuple[float, float]]:
    csr = graph.adjacency
    assert csr.edge_type is not None
    rows = torch.arange(own.start, own.stop, device=csr.device)
    rows = rows[csr.degree[rows] > 0]
    rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), NODES_SAMPLED)).long()] if len(rows) else rows
    count = csr.degree[rows]
    place = torch.arange(len(rows), device=csr.device).repeat_interleave(count)
    within = torch.arange(len(place), device=csr.device) - (count.cumsum(0) - count)[place]
    edges = csr.rowptr[rows][place] + within
    kind = csr.edge_type[edges].long()
    with torch.no_grad():
        learned = view.edge_weights(edges)
    start = csr.degree[csr.col[edges].long()].float().rsqrt()[None]
    shares = [_by_relation(weights, place, len(rows), kind, graph.num_relations) for weights in (start, learned)]
    present = kind.unique().tolist()
    if len(torch.stack([place, kind]).unique(dim=1).T) == len(rows):
        return {}  # no node has anything to choose between
    return {graph.relations[t]: (float(shares[0][t]), float(shares[1][t])) for t in present}


def _by_relation(weights: Tensor, place: Tensor, num_rows: int, kind: Tensor, num_relations: int) -> Tensor:
    """Mean over layers and rows of each row's share of weight by relation; weights [K, n] of whole rows."""
    layers = len(weights)
    total = weights.new_zeros(layers, num_rows).index_add_(1, place, weights)
    share = (weights / total[:, place]).sum(dim=0)
    return weights.new_zeros(num_relations).index_add_(0, kind, share) / (layers * num_rows)


def _in_words(relation: str) -> str:
    """What a node receives over edges of a relation, from where the node stands.

    >>> _in_words("rev_author"), _in_words("author")
    ('its author', 'that of which it is author')
    """
    fixed = {"interacts": "users who used it", "rev_interacts": "items used"}
    other = f"its {relation[4:]}" if relation.startswith("rev_") else f"that of which it is {relation}"
    return fixed.get(relation, other)
