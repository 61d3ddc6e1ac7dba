"""What a person has used speaks for a candidate: by attention, as a mean, or in order.

R histories, I items, J used items, C candidates, P pairs of a batch, L places in a sequence, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from graphrec.graph import HeteroGraph
from graphrec.losses import l2_penalty
from graphrec.models.base import check_setting, searched
from graphrec.models.pooling import Attention, Mean, Pooling, Scored, Sequence
from graphrec.models.recency import RecencySettings, added_to_mean, in_order, recency_obstacle, recent_mean
from graphrec.models.scored import scored_bpr_loss, scored_softmax_loss
from graphrec.models.timeline import Timeline, has_times
from graphrec.models.trained import TrainedModel
from graphrec.sampling import Batch, used_in_batch
from graphrec.sparse import CSR

POOLINGS: dict[str, type[Pooling]] = {"attention": Attention, "mean": Mean, "sequence": Sequence}
MAX_BLOCKS = 64
_BLOCK_USERS = 1024
# The default learning rate suits vectors that propagation mixes; these are used as they stand, and learned by heart.
RATE = 0.3


@dataclass(frozen=True)
class HistorySettings(RecencySettings):
    """Settings of the history model.

    Args:
        pooling: ``attention`` of the candidate over the used items, their ``mean``, or ``sequence``, self-attention
            over them in the order of use.
        width: of an item's vector, W ≥ 1.
        heads: of the attention, ≥ 1, a divisor of ``width``.
        smoothing: β in [0, 1], the exponent of the attention's denominator; 1 is the softmax.
        blocks: of self-attention, for ``sequence``, ≥ 1.
        history: for ``sequence``, how many of the most recent items are read, ≥ 2.
        loss: ``softmax`` (sampled softmax, against the batch's items or a pool), or ``bpr``.
        temperature: τ > 0 of the softmax loss.
        l2: weight ≥ 0 of the squared item vectors of a batch.
        attention_l2: weight ≥ 0 of the squared attention parameters, which pulls to the mean; without it attention
            memorises small data.
        dropout: share, in [0, 1), of the used items that training leaves out of the histories; for ``sequence``, of the
            numbers between its layers.
        recency: for ``mean`` alone: when scoring, and not in training, newer items count more.
    """

    pooling: str = "attention"
    width: int = 64
    heads: int = 1
    smoothing: float = 0.5
    blocks: int = 2
    history: int = 50
    loss: str = "softmax"
    temperature: float = searched(1.0, 0.3, 2.0, log=True)
    l2: float = searched(3e-2, 1e-3, 0.3, log=True)
    attention_l2: float = searched(0.1, choices=(0.0, 1e-4, 1e-3, 1e-2, 0.1))
    dropout: float = searched(0.0, 0.0, 0.5)
    recency: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("recency", self.recency, self.recency == 0 or self.pooling == "mean", "0 but for pooling mean")
        check_setting("pooling", self.pooling, self.pooling in POOLINGS, " or ".join(POOLINGS))
        check_setting("width", self.width, self.width >= 1, ">= 1")
        divides = self.heads >= 1 and self.width % self.heads == 0
        check_setting("heads", self.heads, divides, f"a divisor of width {self.width}")
        check_setting("smoothing", self.smoothing, 0 <= self.smoothing <= 1, "in [0, 1]")
        check_setting("blocks", self.blocks, 1 <= self.blocks <= MAX_BLOCKS, f"in [1, {MAX_BLOCKS}]")
        check_setting("history", self.history, self.history >= 2, ">= 2")
        check_setting("loss", self.loss, self.loss in ("softmax", "bpr"), "softmax or bpr")
        check_setting("temperature", self.temperature, self.temperature > 0, "> 0")
        check_setting("l2", self.l2, self.l2 >= 0, ">= 0")
        check_setting("attention_l2", self.attention_l2, self.attention_l2 >= 0, ">= 0")
        check_setting("dropout", self.dropout, 0 <= self.dropout < 1, "in [0, 1)")


class History(TrainedModel):
    """score(u, i) = what the items that u has used say about i, the item itself left out; u has no vector of its own.

    - ``mean``: Σ_j ⟨v_j, v_i⟩ / n over the n used items j ≠ i (FISM, Kabbur et al. 2013, eq. 4; SimpleX's mean, Mao et
      al. 2021). When ranking, what was used speaks for itself too; such items are left out of lists anyway.
    - ``attention``: the candidate attends over them (see ``HistoryAttention``), starting as the mean.
    - ``sequence``: ⟨state of u, v_i⟩ (see ``SequenceEncoder``).

    Training scores all pairs of some users at once against the batch's items. Of each pair the positive is scored by
    the rest of the history, a negative by all of it, as a newcomer's candidates are.

    Args:
        graph: whose interactions, and for ``sequence`` their times, are read; it uses no knowledge.
        settings: a ``HistorySettings``.

    Attributes:
        table: v of the items, used or candidates, float32 [I, W].
    """

    name: ClassVar[str] = "history"
    Settings: ClassVar[type] = HistorySettings
    whole_users: ClassVar[bool] = True

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.table = nn.Parameter(torch.zeros(graph.num_items, settings.width))
        self.pool = POOLINGS[settings.pooling](settings)

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        if settings.pooling == "sequence" and not has_times(graph):
            return "the data has no timestamps"
        return recency_obstacle(graph, settings)

    @property
    def capturable(self) -> bool:
        return False

    @property
    def paired(self) -> bool:
        return bool(self.settings.loss == "bpr")

    def reset(self, generator: torch.Generator) -> None:
        """Draw the vectors of the items from N(0, 0.1²)."""
        nn.init.normal_(self.table, std=0.1, generator=generator)
        self.pool.reset(generator)

    @torch.no_grad()
    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        items = self.graph.item_slice
        both = (now >= items.start) & (now < items.stop)
        here, there = now[both] - items.start, before[both] - other.graph.item_slice.start
        self.table.zero_()
        self.table[here] = other.table[there].to(self.table)
        self.pool.load_state_dict(other.pool.state_dict())

    @cached_property
    def timeline(self) -> Timeline:
        """The interactions of the graph, each user's in the order of use, computed once."""
        return Timeline.of_graph(self.graph)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        return super().parameter_groups(RATE * learning_rate)

    def loss(self, batch: Batch) -> Tensor:
        negatives = batch.negative if batch.pooled or self.paired else batch.negative[:0]
        items, place = torch.cat([batch.positive, negatives]).unique(return_inverse=True)
        positive, negative = place[: len(batch)], place[len(batch) :]
        scored = self.pool.score_pairs(self, batch, items)
        value = self._ranking_loss(batch, scored, items, positive, negative)
        return value + self.settings.l2 * l2_penalty(embedding(items, self.table)) + self.pool.penalty()

    def _ranking_loss(self, batch: Batch, scored: Scored, items: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss over the pairs whose history holds something else."""
        scores = scored.scores
        rows, kept = scored.row[scored.valid], positive[scored.valid]
        own = scores[rows, kept]
        if self.settings.loss == "bpr" and not batch.pooled:
            return scored_bpr_loss(own, scores[rows, negative[scored.valid]])
        against = negative if batch.pooled else positive
        used = used_in_batch(self.graph.seen, scored.user, items[against])
        scores = scores[:, against]
        if self.settings.loss == "bpr":
            return scored_bpr_loss(own[:, None], scores[rows], used[rows])
        log_odds = batch.log_odds if batch.pooled else self._log_odds[items[against]]
        return scored_softmax_loss(own, scores, used, rows, self.settings.temperature, log_odds)

    @cached_property
    def _log_odds(self) -> Tensor:
        """ln of how many times as often as by a uniform draw each item comes in a batch, float32 [I]."""
        count = torch.bincount(self.graph.seen.col, minlength=self.graph.num_items).clamp(min=1)
        return (count.double() * self.graph.num_items / max(self.graph.seen.num_edges, 1)).log().float()

    def vectors(self) -> tuple[Tensor, Tensor] | None:
        """Vectors of the users and the items, whose inner products are the scores; None for attention."""
        if self.pool.scores_by_vectors:
            return self.keep("users", self._user_vectors), self.table.detach()
        return None

    @torch.no_grad()
    def score_block(self, users: Tensor) -> Tensor:
        found = self.vectors()
        if found is not None:
            return found[0][users] @ found[1].T
        return self.pool.score(self, self.timeline.take(users))

    @torch.no_grad()
    def fold_in(self, history: CSR) -> Tensor:
        """Scores from a history alone.

        For ``sequence`` its values say the order, and without them all is one time. Nobody gives the times of a
        newcomer's items, so that these have no vector for the time gap, which those of known users have.
        """
        if self.settings.recency > 0:
            return recent_mean(history, self.settings.recency, self.table) @ self.table.T
        return self.pool.score(self, Timeline.of_history(history))

    @property
    def used(self) -> CSR:
        """What everybody has used, as ``contributions`` takes it, [U, I]."""
        if self.settings.recency == 0:
            return self.timeline.items
        return self.keep("used", lambda: in_order(self.graph, self.settings.recency))

    @torch.no_grad()
    def contributions(self, history: CSR, item: int) -> Tensor:
        """What each used item of one person adds to the score of an item; for ``sequence``, what it loses without it.

        Either way the history is read as a newcomer's is, its times unknown.

        Args:
            history: [1, I], the used items, oldest first; with recency, as ``fold_in`` takes it.
            item: the item scored.

        Returns:
            float32 [n]; but for ``sequence`` their sum is the score of someone with exactly this history.
        """
        if self.settings.recency > 0:
            return added_to_mean(history, self.settings.recency, self.table, item)
        return self.pool.contributions(self, Timeline(history, None), item)

    @torch.no_grad()
    def similarity_block(self, items: Tensor) -> Tensor:
        """Cosine of the items' vectors."""
        unit = nn.functional.normalize(self.table, dim=-1)
        return unit[items] @ unit.T

    def _user_vectors(self) -> Tensor:
        if self.settings.recency > 0:
            return recent_mean(self.used, self.settings.recency, self.table)
        users = torch.arange(self.graph.num_users, device=self.graph.device)
        blocks = [self.pool.pooled(self, self.timeline.take(block)) for block in users.split(_BLOCK_USERS)]
        return torch.cat(blocks) if blocks else self.table.new_zeros(0, self.settings.width)
