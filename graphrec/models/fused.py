"""The attention-fused score: several views, each on the same scale, weighed anew for every pair.

S views, B users in a block, I items, n items of a user, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from graphrec.errors import CombinationError, TrainingError, UnknownNameError, UsageError, nearest
from graphrec.graph import HeteroGraph
from graphrec.layers import CONTEXTS, combine, weigh
from graphrec.models.base import Model
from graphrec.models.calibration import (
    degree_scale,
    product_moments,
    rows_of,
    scaled_log,
    score_moments,
    standard_scale,
    vector_moments,
)
from graphrec.models.fused_settings import FusedSettings
from graphrec.models.vectors import VectorModel
from graphrec.sparse import CSR
from graphrec.sparse.cpu.memory import empty
from graphrec.sparse.spectrum import WIDTH

_BLOCK_SCORES = 2**22  # of one view, computed at once


def people_at_once(num_items: int) -> int:
    """How many people's scores a fusion's views give at once: whole multiples of what graph filters take, or a few."""
    size = max(1, _BLOCK_SCORES // max(1, num_items))
    return max(size - size % WIDTH, min(size, WIDTH))


class Fused(Model):
    """score(u, i) = Σ_s a_s γ_s z̃_s, a = softmax_s(w_s · c_s), c_s = [1, ln d_u, ln d_i, spread of z̃ over views, z̃_s].

    z̃_s is view s's score, standardised over the items u has not trained on; γ_s = exp(g_s). At w = 0, g = 0 the score
    is the plain mean of the views. So that one L2 suits all contexts, ln(1 + d) is standardised over the graph's users
    and items, and z̃ and its spread (the deviation over views) are cut off at ±8 and divided by 8 as contexts.

    Args:
        graph: what the views were fitted on; its interactions are what u has trained on.
        settings: a ``FusedSettings``.
        views: the models to fuse, by name; those of the settings.

    Attributes:
        attention: w, float32 [S, 5].
        log_scale: g, float32 [S].
        chosen: name of the view that is used instead of the fusion, or None.

    Raises:
        UsageError: the views are not those of the settings.
    """

    name: ClassVar[str] = "fused"
    Settings: ClassVar[type] = FusedSettings
    chosen_index: Tensor
    user_scale: Tensor
    item_scale: Tensor

    def __init__(self, graph: HeteroGraph, settings: Any, views: Mapping[str, Model]) -> None:
        super().__init__(graph, settings)
        if tuple(views) != settings.views:
            raise CombinationError(f"views must be {', '.join(settings.views)}, got {', '.join(views) or 'none'}")
        self.views = nn.ModuleDict(views)
        self.attention = nn.Parameter(torch.zeros(len(views), len(CONTEXTS)))
        self.log_scale = nn.Parameter(torch.zeros(len(views)))
        self.register_buffer("chosen_index", torch.tensor(-1))
        for name, degree in zip(("user_scale", "item_scale"), self._degrees(), strict=True):
            self.register_buffer(name, degree_scale(degree))

    @property
    def chosen(self) -> str | None:
        index = int(self.chosen_index)
        return None if index < 0 else self.settings.views[index]

    @chosen.setter
    def chosen(self, name: str | None) -> None:
        views = self.settings.views
        if name is not None and name not in views:
            raise UnknownNameError(f"no view {name!r}", nearest(name, views) or f"there are: {', '.join(views)}")
        self.chosen_index.fill_(-1 if name is None else views.index(name))

    def fit(self) -> None:
        """Fit the views that have a closed form; the fusion's weights are fitted by ``training.fit_fusion``."""
        for view in self._members():
            view.fit()

    def on_graph(self, graph: HeteroGraph) -> Self:
        views = {name: view.on_graph(graph) for name, view in self._by_name()}
        twin = type(self)(graph, self.settings, views).to(graph.device)
        twin.copy_weights(self)
        return twin.eval()

    @torch.no_grad()
    def set_weights(self, attention: Tensor, log_scale: Tensor) -> None:
        """Overwrite w [S, 5] and g [S]."""
        self.attention.copy_(attention)
        self.log_scale.copy_(log_scale)

    @torch.no_grad()
    def copy_weights(self, other: Fused) -> None:
        """Take over another fusion's weights, scales of contexts and choice, not its views."""
        for name in ("attention", "log_scale", "chosen_index", "user_scale", "item_scale"):
            getattr(self, name).copy_(getattr(other, name))

    @torch.no_grad()
    def score_block(self, users: Tensor) -> Tensor:
        if self.chosen is not None:
            return self._chosen_view().score_block(users)
        return self._by_chunks(rows_of(self.graph.seen, users), users)

    @torch.no_grad()
    def fold_in(self, history: CSR) -> Tensor:
        if self.chosen is not None:
            return self._chosen_view().fold_in(history)
        return self._by_chunks(history, None)

    def similarity_block(self, items: Tensor) -> Tensor:
        """The mean over the views that know likeness, or the chosen view's own.

        Raises:
            UsageError: no view knows any.
        """
        members = self._members() if self.chosen is None else [self._chosen_view()]
        total, count = torch.zeros(len(items), self.graph.num_items, device=items.device), 0
        for view in members:
            try:
                total += view.similarity_block(items)
            except UsageError:
                continue
            count += 1
        if not count:
            raise CombinationError("no view knows likeness of items", "add item_knn, lightgcn or gat to the views")
        return total / count

    @torch.no_grad()
    def view_parts(self, user: int, items: Tensor) -> Tensor:
        """What each view adds to a known user's scores: a_s γ_s z̃_s, or the chosen view's own score.

        Args:
            user: user number.
            items: int64 [n].

        Returns:
            float32 [S, n]; the sum over views is the score.
        """
        if self.chosen is None:
            return self.weighed_parts(user, items)
        users = torch.tensor([user], device=self.graph.device)
        parts = torch.zeros(len(self.views), len(items), device=self.graph.device)
        parts[self.chosen_index] = self._chosen_view().score_block(users)[0, items]
        return parts

    @torch.no_grad()
    def weighed_parts(self, user: int, items: Tensor) -> Tensor:
        """a_s γ_s z̃_s of a known user's items, float32 [S, n], also where a view is used instead of the fusion."""
        users = torch.tensor([user], device=self.graph.device)
        history = rows_of(self.graph.seen, users)
        return self.weigh(self.standardized(history, users)[..., items], history.degree, items[None])[:, 0]

    @torch.no_grad()
    def compare(self, users: Tensor, weights: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Scores of known users by each view alone and by the fusion under several weights, each view asked once.

        Args:
            users: int64 [B], user numbers; views × B × I scores are held at once.
            weights: name → w [S, 5] and g [S].

        Returns:
            float32 [B, I] by view, then by name of the weights.
        """
        history = rows_of(self.graph.seen, users)
        scores, mean, scale = self._view_scores(history, users)
        contexts = self.degree_contexts(history.degree)
        found = dict(zip(self.settings.views, scores, strict=True))
        return found | {
            name: combine(scores, mean, scale, attention, log_scale.exp(), *contexts)
            for name, (attention, log_scale) in weights.items()
        }

    @torch.no_grad()
    def standardized(self, history: CSR, users: Tensor | None) -> Tensor:
        """z̃ of every view for all items, float32 [S, B, I].

        Args:
            history: CSR [B, I], what each person has trained on.
            users: int64 [B], their numbers; None for people the model has never met.

        Raises:
            TrainingError: a view gives a score that is infinite or not a number.
        """
        scores, mean, scale = self._view_scores(history, users)
        return scores.sub_(mean[..., None]).mul_(scale[..., None])

    def weigh(self, scores: Tensor, user_degree: Tensor, items: Tensor | None = None) -> Tensor:
        """a_s γ_s z̃_s of every view; differentiable in the weights.

        Args:
            scores: z̃, float32 [S, B, C].
            user_degree: int64 [B], items each person has trained on.
            items: int64 [B or 1, C], the items scored; all, in order, if None.

        Returns:
            float32 [S, B, C].
        """
        return weigh(scores, self.attention, self.log_scale.exp(), *self.degree_contexts(user_degree, items))

    def degree_contexts(self, user_degree: Tensor, items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ln(1 + d), standardised, of people [B], and of some items in that one's shape or of all [I]."""
        item_degree = self._degrees()[1]
        of_item = scaled_log(item_degree if items is None else item_degree[items], self.item_scale)
        return scaled_log(user_degree, self.user_scale), of_item

    def _view_scores(self, history: CSR, users: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Every view's own scores, float32 [S, B, I], and the m and 1 / s of z̃ for each, [S, B]."""
        result = empty((len(self.views), history.num_rows, history.num_cols), device=history.device)
        standards = []
        for scores, (name, view) in zip(result, self._by_name(), strict=True):
            if isinstance(view, VectorModel):
                vectors = view.fold_in_vectors(history) if users is None else view.user_vectors()[users]
                torch.mm(vectors, view.item_vectors().T, out=scores)
                item_moments = view.keep("moments", partial(vector_moments, view.item_vectors()))
                moments = product_moments(vectors, *item_moments)
            else:
                scores.copy_(view.fold_in(history) if users is None else view.score_block(users))
                moments = score_moments(scores)
            _check_finite(name, *moments)
            standards.append(standard_scale(scores, *moments, history))
        mean, scale = (torch.stack(parts) for parts in zip(*standards, strict=True))
        return result, mean, scale

    def _by_chunks(self, history: CSR, users: Tensor | None) -> Tensor:
        """Scores [B, I], a few rows at a time."""
        result = empty((history.num_rows, history.num_cols), device=history.device)
        size = people_at_once(history.num_cols)
        for first in range(0, history.num_rows, size):
            rows = torch.arange(first, min(first + size, history.num_rows), device=history.device)
            block = history.take_rows(rows)
            scores = self._view_scores(block, None if users is None else users[rows])
            contexts = self.degree_contexts(block.degree)
            result[first : first + size] = combine(*scores, self.attention, self.log_scale.exp(), *contexts)
        return result

    def _members(self) -> list[Model]:
        return list(self.views.values())  # type: ignore[arg-type]

    def _by_name(self) -> Iterable[tuple[str, Model]]:
        return zip(self.views, self._members(), strict=True)

    def _chosen_view(self) -> Model:
        return self._members()[int(self.chosen_index)]

    def _degrees(self) -> tuple[Tensor, Tensor]:
        """Interactions of each user [U] and of each item [I] in the graph."""
        return self.graph.seen.degree, self.graph.seen.transpose[0].degree


def _check_finite(view: str, mean: Tensor, variance: Tensor) -> None:
    """One score that is infinite or not a number makes its row's moments so."""
    if not (mean.isfinite() & variance.isfinite()).all():
        raise TrainingError(f"the view {view} gives scores that are not finite", "leave it out, or train it anew")
