"""What attention's backends take: a graph as tensors, and the parts of a logit besides queries and keys."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

Graph = tuple[Tensor, Tensor, Tensor | None]  # rowptr, col, edge_type
Turned = tuple[Tensor, Tensor, Tensor | None, Tensor]  # the transpose, and the permutation


class Terms(NamedTuple):
    """Each is a float tensor or None; H heads, Dq width of a key, M columns, R relations.

    Args:
        vector: [H, Dq], of the additive and v2 scores.
        scale: [H], of the dot score; None counts as 1.
        relation_key: [R, H, Dq].
        bias: [M, H], of the sender.
        relation_bias: [R, H].
    """

    vector: Tensor | None = None
    scale: Tensor | None = None
    relation_key: Tensor | None = None
    bias: Tensor | None = None
    relation_bias: Tensor | None = None
