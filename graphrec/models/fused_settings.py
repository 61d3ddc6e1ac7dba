"""The settings of the fusion."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphrec.models.base import check_setting, searched

WAYS = ("stacked", "joint")


@dataclass(frozen=True)
class FusedSettings:
    """Settings of the fusion.

    Args:
        views: what to fuse, distinct, at least one; each is a model's name, or that and a label of one's own where a
            model is to be there several times with other settings: ``lightgcn-bpr``.
        fuse: ``stacked``, each view trained alone; or ``joint``, all together, by the loss of the fused score beside
            their own, for which all must be embedding models (lightgcn, gat). The weights are fitted afterwards.
        fusion_l2: weight ≥ 0 of the squared distance of the fusion weights from the plain mean, divided by the number
            of held-out rows, beside the loss.
        candidates: best items of each view that a held-out item is held against, ≥ 1.
        negatives: uniform items that it is held against besides, ≥ 1.
    """

    views: tuple[str, ...] = ("lightgcn", "gat", "item_knn")
    fuse: str = "stacked"
    fusion_l2: float = searched(0.5, 0.01, 50.0, log=True)
    candidates: int = 100
    negatives: int = 100

    def __post_init__(self) -> None:
        listed = isinstance(self.views, list | tuple) and all(isinstance(view, str) for view in self.views)
        check_setting("views", self.views, listed, "a list of names")
        object.__setattr__(self, "views", tuple(self.views))  # a TOML array comes as a list
        distinct = len(self.views) >= 1 and len(set(self.views)) == len(self.views)
        simple = all(view.partition("-")[0] != "fused" for view in self.views)
        check_setting("views", self.views, distinct and simple, "distinct models other than fused")
        plain = all(re.fullmatch(r"\w+(-\w+)*", view, re.ASCII) for view in self.views)
        check_setting("views", self.views, plain, "names of letters, digits, _ and -")
        check_setting("fuse", self.fuse, self.fuse in WAYS, " or ".join(WAYS))
        check_setting("fusion_l2", self.fusion_l2, self.fusion_l2 >= 0, ">= 0")
        check_setting("candidates", self.candidates, self.candidates >= 1, ">= 1")
        check_setting("negatives", self.negatives, self.negatives >= 1, ">= 1")
