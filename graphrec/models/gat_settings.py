"""The settings of the graph-attention model."""

from __future__ import annotations

from dataclasses import dataclass

from graphrec.graph import HeteroGraph
from graphrec.layers import SCORES
from graphrec.models.base import check_setting, searched
from graphrec.models.embedding import EmbeddingSettings


@dataclass(frozen=True)
class GATSettings(EmbeddingSettings):
    """Settings of the graph-attention model.

    Args:
        heads: H ≥ 1, a divisor of ``width``.
        score: ``dot``, ``additive`` (GAT's) or ``v2`` (GATv2's), how two ends of an edge are compared.
        attention_dropout: share of edges left out of a sum, in [0, 1).
        message_dropout: share of the sent numbers set to zero, in [0, 1).
        attention_l2: weight ≥ 0 of the squared attention parameters, which pulls to LightGCN's weights; without it
            attention memorises small data.
        relation_gain: whether each relation learns how its messages are scaled, place by place.
        own_edges: whether the pair to predict stays an edge in its own step (in samples of the neighbourhood: never).
        knowledge: whether knowledge edges carry messages too.
        hub_facts: ≥ 0; an entity with more facts than that is left out of the graph, since what many share says little;
            0 keeps all.
        without_relations: names of relations of the knowledge that are left out of the graph.
        knowledge_weight: ≥ 0 of the knowledge loss (``fact_loss``) beside that of the pairs.
    """

    heads: int = 4
    score: str = "dot"
    attention_dropout: float = 0.0
    message_dropout: float = 0.0
    attention_l2: float = searched(0.1, choices=(0.0, 1e-4, 1e-3, 1e-2, 0.1))
    relation_gain: bool = searched(False, choices=(False, True))
    own_edges: bool = searched(True, choices=(True, False))
    knowledge: bool = True
    hub_facts: int = 0
    without_relations: tuple[str, ...] = ()
    knowledge_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        divides = self.heads >= 1 and self.width % self.heads == 0
        check_setting("heads", self.heads, divides, f"a divisor of width {self.width}")
        check_setting("score", self.score, self.score in SCORES, f"one of {', '.join(SCORES)}")
        check_setting("hub_facts", self.hub_facts, self.hub_facts >= 0, ">= 0")
        check_setting("knowledge_weight", self.knowledge_weight, self.knowledge_weight >= 0, ">= 0")
        object.__setattr__(self, "without_relations", tuple(self.without_relations))  # a TOML array comes as a list
        check_setting("attention_l2", self.attention_l2, self.attention_l2 >= 0, ">= 0")
        for field in ("attention_dropout", "message_dropout"):
            share = getattr(self, field)
            check_setting(field, share, 0 <= share < 1, "in [0, 1)")
            check_setting(field, share, self.own_edges or share == 0, "0 where own_edges is False")

    @property
    def whole_graph_only(self) -> str | None:
        """The setting that asks for propagation over the whole graph, if one does."""
        return "knowledge_weight" if self.knowledge_weight else None

    def prune(self, graph: HeteroGraph) -> HeteroGraph:
        """What of a graph these settings want."""
        if not self.knowledge:
            return graph.interactions_only()
        if self.hub_facts or self.without_relations:
            return graph.prune_knowledge(self.hub_facts, self.without_relations)
        return graph
