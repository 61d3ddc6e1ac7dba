"""Stacking: the weights of a fusion, fitted on rows that no view has seen, and judged on people who did not fit them.

S views.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from graphrec.evaluation.metrics import hit_matrix, ndcg, recall
from graphrec.layers import CONTEXTS
from graphrec.models import Fused
from graphrec.models.calibration import rows_of
from graphrec.models.fused import people_at_once
from graphrec.ranking import rank
from graphrec.sampling import generator_for
from graphrec.sparse import CSR
from graphrec.training.held_out import WITHIN, HeldOut, hold_out, join
from graphrec.training.weights import AND, Weights, fit_some, fit_weights, plain_mean, take_away

MIN_USERS = 20
"""Fewer users with a blend row can neither fit nor judge anything."""
MAX_FIT_USERS = 7500
FIRST_USERS = 3
"""One in so many of those who fit does so first."""
MAX_FIT_ROWS = 22_500
MAX_JUDGES = 3750
JUDGED_BY = "ndcg@20"
ENOUGH = 0.995
"""Of what the fusion reaches over the judges: fewer views that have as much are enough."""
_WINNERS = {
    "mean": "the plain mean of the views",
    "constant": "the fusion with constant weights",
    "fused": "the fusion by attention",
}

Judged = dict[str, dict[str, Tensor]]
"""By contender, then metric: the value of every judge."""


@dataclass(frozen=True)
class FusionReport:
    """How the views were weighed, and how that compares.

    Args:
        views: names, in order.
        chosen: the view used instead of the fusion, or None.
        reason: what is used, and why, in a sentence.
        scale: γ of each view in the fusion as it is used, or would be but for the chosen view.
        constant_scale: γ of each view with w = 0.
        attention: w of each view, by context, as for ``scale``.
        enough: the fewest views that have 99.5 % of the NDCG@20 of what is used; all of them where nobody could judge.
        num_fit_users, num_fit_rows: who and what the weights were fitted on.
        num_judges: users who judged weights that others fitted.
        judged: recall@20 and ndcg@20 over the judges of every view, of the plain ``mean``, of fitted ``constant``
            weights (w = 0), and of ``fused``; empty where nobody could judge.
        fewer: the same of constant weights of ever fewer of the views, down to two, named like ``gat + item_knn``.
        fitted: ``scale`` and ``attention`` of the fusion by attention, whatever is used; empty where it was not fitted.
    """

    views: tuple[str, ...]
    chosen: str | None
    reason: str
    scale: dict[str, float]
    constant_scale: dict[str, float]
    attention: dict[str, dict[str, float]]
    enough: tuple[str, ...]
    num_fit_users: int = 0
    num_fit_rows: int = 0
    num_judges: int = 0
    judged: dict[str, dict[str, float]] = field(default_factory=dict)
    fewer: dict[str, dict[str, float]] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        return dataclasses.asdict(self) | {"views": list(self.views), "enough": list(self.enough)}


def fit_fusion(fused: Fused, blend: CSR, *, seed: int) -> FusionReport:
    """Fit a fusion's weights on the users with blend rows, and let each half of them judge what the other half fits.

    The loss is how far the held-out rows are from the top of their lists: minus 1 / log₂(1 + rank), the mean over each
    user's rows and then over the users, where a row's rank is 1 plus the number of its user's candidates above it, each
    counted as σ((score(u, c) − score(u, i)) / 0.3): NDCG, with the smooth rank of ApproxNDCG (Qin, Liu & Li 2010, *A
    general approximation framework for direct optimization of information retrieval measures*, §4); plus ``fusion_l2``
    (‖w‖² + ‖ln γ‖²) over the number of rows, and for constant weights 0.003 Σ_s (γ_s / Σγ)², by which views that are
    much alike share (an egalitarian ridge, Diebold & Shin 2019, *Machine learning for regularized survey forecast
    combination: partially-egalitarian lasso and its derivatives*). A softmax over the candidates does not serve: scores
    of graph filters and item–item models have long tails, and it shrinks such a view for the few lists in which a tail
    stands before the held-out item.

    Candidates are the best ``candidates`` items of every view and of the fusion as it stands, and ``negatives`` uniform
    ones; what u has trained on and u's other held-out items are left out. Attention may lift items that no view holds
    dear; so a third of each half fits first, and what those weights lift is among the candidates of all of it. Held-out
    items that are among no view's best 50 do not count: no weights can bring them into a short list.

    Whatever has the best NDCG@20 over the judges of both halves is used: the fusion with constant weights, the plain
    mean, or one view alone; or the fusion by attention, where it is ahead of all of them by more than the standard
    error of the difference (as Breiman et al. 1984, *Classification and regression trees*, choose the size of a tree).
    Weights that are used are then fitted on both halves together. With too few users the plain mean stays; a single
    view is used as it is. So that people know which views they could do without, one view after another is taken away
    from the constant weights, each time the one that is missed least on the rows of both halves, and what is left is
    fitted and judged by halves too.

    Args:
        fused: with fitted views; its weights and choice are overwritten.
        blend: CSR [U, I] of rows that neither the views nor their stopping have seen.
        seed: decides the halves and the uniform negatives. Of each half at most 7,500 users fit, and only as many as
            22,500 rows take, and at most 3,750 judge.

    Raises:
        TrainingError: a view's scores or the loss are not finite.
    """
    if len(fused.views) == 1:
        (only,) = fused.views
        return _unweighed(fused, f"{only} is the only view, so there is nothing to weigh", only)
    users = ((blend.degree > 0) & (fused.graph.seen.degree > 0)).nonzero()[:, 0]
    if len(users) < MIN_USERS:
        why = f"{len(users)} users have blend rows, at least {MIN_USERS} are needed"
        return _unweighed(fused, f"the plain mean stays: {why}")
    generator = generator_for(seed)
    halves = users[torch.randperm(len(users), generator=generator).to(users.device)].chunk(2)
    rows = [_rows_to_fit(fused, blend, half, generator) for half in halves]
    if not all(half.num_rows for half in rows):
        return _unweighed(fused, f"the plain mean stays: no held-out item is among the best {WITHIN} of any view")
    whole = join(rows)
    constant, fitted = fit_weights(whole, fused.settings)
    fewer = take_away(whole, constant, fused.settings)
    values = _judge_across(fused, blend, halves, rows, fewer)
    found = {name: {metric: float(value.mean()) for metric, value in own.items()} for name, own in values.items()}
    judged = {name: own for name, own in found.items() if name not in fewer}
    best, reason = _choose({name: values[name][JUDGED_BY] for name in judged})
    contenders = {"mean": plain_mean(fused.settings), "constant": constant, "fused": fitted}
    fused.set_weights(*contenders.get(best, fitted))
    fused.chosen = None if best in contenders else best
    return _report(
        fused,
        reason,
        constant[1],
        num_fit_users=whole.num_users,
        num_fit_rows=whole.num_rows,
        num_judges=sum(min(len(half), MAX_JUDGES) for half in halves),
        judged=judged,
        fewer={name: found[name] for name in fewer},
        enough=_enough(
            {name: found[name] for name in (*fused.settings.views, *fewer)}, judged[best], fused.settings.views
        ),
        fitted=_named(fused, *fitted),
    )


def _rows_to_fit(fused: Fused, blend: CSR, users: Tensor, generator: torch.Generator) -> HeldOut:
    """Held-out rows of as many of the users as may fit, in whose candidates is what weights of a third of them lift."""
    users = users[:MAX_FIT_USERS]
    rows_before = blend.degree[users].cumsum(dim=0) - blend.degree[users]
    users = users[rows_before < MAX_FIT_ROWS].sort().values
    fused.set_weights(*plain_mean(fused.settings))
    first = hold_out(fused, blend, users[::FIRST_USERS], generator)
    if first.num_rows:
        fused.set_weights(*fit_weights(first, fused.settings)[1])
    return hold_out(fused, blend, users, generator)


def _judge_across(
    fused: Fused, blend: CSR, halves: Sequence[Tensor], rows: Sequence[HeldOut], fewer: Mapping[str, Sequence[int]]
) -> Judged:
    """What every view, every kind of weights and ever fewer views reach, where each half judges the other's weights."""
    found: list[Judged] = []
    judges = [half[:MAX_JUDGES].sort().values for half in halves]
    for own, others in zip(rows, reversed(judges), strict=True):
        constant, fitted = fit_weights(own, fused.settings)
        contenders = {"mean": plain_mean(fused.settings), "constant": constant, "fused": fitted}
        for name, kept in fewer.items():
            contenders[name] = fit_some(own, fused.settings, kept)
        found.append(_judge(fused, blend, others, contenders))
    first, second = found
    return {
        name: {metric: torch.cat([value, second[name][metric]]) for metric, value in own.items()}
        for name, own in first.items()
    }


def _choose(judged: dict[str, Tensor]) -> tuple[str, str]:
    """What is used, and why; of each contender the value of every judge, [J], the simpler ones first."""
    means = {name: float(values.mean()) for name, values in judged.items()}
    best = max(means, key=means.__getitem__)  # the first, so the simplest, of equals
    ahead = f"has the best {JUDGED_BY} over the judges"
    if best == "fused":
        next_best = max((name for name in means if name != best), key=means.__getitem__)
        lead = judged[best] - judged[next_best]
        if lead.mean() <= lead.std() / len(lead) ** 0.5:
            best = next_best
            ahead = f"is used: attention is not ahead of it in {JUDGED_BY} by more than the standard error"
    return best, f"{_WINNERS.get(best, f'the view {best} alone')} {ahead}"


def _enough(sets: dict[str, dict[str, float]], used: dict[str, float], views: tuple[str, ...]) -> tuple[str, ...]:
    """The smallest of the sets that is as good as what is used, but for a little; else all views."""
    good = [tuple(name.split(AND)) for name, found in sets.items() if found[JUDGED_BY] >= ENOUGH * used[JUDGED_BY]]
    return min(good, key=len, default=views)


def _judge(fused: Fused, blend: CSR, judges: Tensor, contenders: dict[str, Weights]) -> Judged:
    """Recall@20 and NDCG@20 of every view and of the contenders' weights, ranking all items but those trained on."""
    seen, device = fused.graph.seen, fused.log_scale.device
    contenders = {name: (attention.to(device), scale.to(device)) for name, (attention, scale) in contenders.items()}
    lists: dict[str, list[Tensor]] = {name: [] for name in (*fused.settings.views, *contenders)}
    for block in judges.split(people_at_once(seen.num_cols)):
        for name, scores in fused.compare(block, contenders).items():
            lists[name].append(_best(scores, block, seen))
    relevant = rows_of(blend, judges)
    judged = {}
    for name, ranked in lists.items():
        hits = hit_matrix(torch.cat(ranked), relevant)
        judged[name] = {"recall@20": recall(hits, relevant.degree, 20), "ndcg@20": ndcg(hits, relevant.degree, 20)}
    return judged


def _best(scores: Tensor, users: Tensor, seen: CSR) -> Tensor:
    """The 20 best items of a block of users, int64 [B, 20]."""
    return rank(lambda _: scores, users, 20, num_items=seen.num_cols, seen=seen, block_size=len(users)).items


def _unweighed(fused: Fused, reason: str, chosen: str | None = None) -> FusionReport:
    """The plain mean, or the only view."""
    fused.set_weights(*plain_mean(fused.settings))
    fused.chosen = chosen
    return _report(fused, reason, fused.log_scale, enough=fused.settings.views)


def _named(fused: Fused, attention: Tensor, log_scale: Tensor) -> dict[str, Any]:
    """γ of each view, and w of each view by context."""
    views = fused.settings.views
    rows = [dict(zip(CONTEXTS, row, strict=True)) for row in attention.tolist()]
    scale = dict(zip(views, log_scale.exp().tolist(), strict=True))
    return {"scale": scale, "attention": dict(zip(views, rows, strict=True))}


def _report(fused: Fused, reason: str, constant: Tensor, **found: Any) -> FusionReport:
    """What is used now, and what was found on the way."""
    constant_scale = _named(fused, fused.attention, constant)["scale"]
    used = _named(fused, fused.attention, fused.log_scale)
    return FusionReport(fused.settings.views, fused.chosen, reason, constant_scale=constant_scale, **used, **found)
