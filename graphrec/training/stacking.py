"""Stacking: the weights of a fusion, fitted on rows that no view has seen, and judged on other people's.

S views, P users of the fit half, R of their held-out rows, C candidates a user.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphrec.errors import TrainingError
from graphrec.evaluation import evaluate
from graphrec.models import Fused
from graphrec.models.calibration import rows_of
from graphrec.models.fused import CONTEXTS
from graphrec.ranking import topk_rows
from graphrec.sampling import generator_for
from graphrec.sparse import CSR

MIN_USERS = 20
"""Fewer users with a blend row can neither fit nor judge anything."""
MAX_FIT_USERS = 4000
MAX_JUDGES = 10_000
_STEPS = 40
_BLOCK_SCORES = 2**22
K = 20

Weights = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FusionReport:
    """How the views were weighed, and how that compares.

    Args:
        views: names, in order.
        chosen: the view used instead of the fusion, or None.
        reason: why, in a sentence.
        num_fit_users, num_fit_rows: who and what the weights were fitted on.
        num_judges: users who judged.
        judged: recall@20 and ndcg@20 over the judges of every view, of the plain ``mean``, of fitted ``constant`` weights
            (w = 0), and of ``fused``; empty where nobody could judge.
        scale: γ of each view in the fusion.
        constant_scale: γ of each view with w = 0.
        attention: w of each view, by context.
    """

    views: tuple[str, ...]
    chosen: str | None
    reason: str
    num_fit_users: int
    num_fit_rows: int
    num_judges: int
    judged: dict[str, dict[str, float]]
    scale: dict[str, float]
    constant_scale: dict[str, float]
    attention: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        return dataclasses.asdict(self) | {"views": list(self.views)}


def fit_fusion(fused: Fused, blend: CSR, *, seed: int) -> FusionReport:
    """Fit a fusion's weights on half of the users with blend rows and let the other half judge.

    The loss is the mean, over held-out rows (u, i), of −ln softmax of score(u, i) against u's candidates: every view's
    best ``candidates`` items and ``negatives`` uniform ones, without what u has trained on and u's other held-out items;
    plus ``fusion_l2`` (‖w‖² + ‖ln γ‖²). If the fusion's NDCG@20 over the judges is not above the best single view's,
    that view is chosen. With too few users the plain mean stays.

    Args:
        fused: with fitted views; its weights and choice are overwritten.
        blend: CSR [U, I] of rows that neither the views nor their stopping have seen.
        seed: decides the halves and the uniform negatives, and caps them at 4,000 and 10,000 users.

    Raises:
        TrainingError: the loss is not finite.
    """
    start = _weights(fused, torch.zeros_like(fused.attention), torch.zeros_like(fused.log_scale))
    generator = generator_for(seed)
    users = ((blend.degree > 0) & (fused.graph.seen.degree > 0)).nonzero()[:, 0]
    order = torch.randperm(len(users), generator=generator).to(users.device)
    fit_users, judges = (half.sort().values for half in users[order].tensor_split(2))
    if len(users) < MIN_USERS:
        reason = f"the plain mean stays: {len(users)} users have blend rows, at least {MIN_USERS} are needed"
        return _report(fused, start, reason, (0, 0, 0), {})
    raise NotImplementedError
