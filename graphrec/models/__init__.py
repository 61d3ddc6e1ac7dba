"""Models: everything that scores users against items, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from graphrec.errors import UnknownNameError, nearest
from graphrec.graph import HeteroGraph
from graphrec.models.additive import AdditiveModel
from graphrec.models.base import Model
from graphrec.models.content import Content, ContentSettings
from graphrec.models.ease import EASE
from graphrec.models.embedding import EmbeddingModel, EmbeddingSettings
from graphrec.models.fused import Fused
from graphrec.models.gat import GAT
from graphrec.models.gat_settings import GATSettings
from graphrec.models.history import History, HistorySettings
from graphrec.models.item_item import ItemItem
from graphrec.models.item_knn import ItemKNN
from graphrec.models.joint import Joint
from graphrec.models.knowledge_knn import KnowledgeKNN
from graphrec.models.lightgcn import LightGCN, LightGCNSettings
from graphrec.models.popularity import Popularity
from graphrec.models.rp3beta import RP3Beta
from graphrec.models.slim import SLIM
from graphrec.models.spectral import Spectral, SpectralSettings
from graphrec.models.spectral_knn import SpectralKNN, SpectralKNNSettings
from graphrec.models.trained import TrainedModel
from graphrec.models.vectors import VectorModel

MODELS: dict[str, type[Model]] = {
    cls.name: cls
    for cls in (
        Popularity,
        ItemKNN,
        RP3Beta,
        EASE,
        SLIM,
        KnowledgeKNN,
        Spectral,
        SpectralKNN,
        LightGCN,
        GAT,
        Content,
        History,
        Fused,
    )
}


def model_class(name: str) -> type[Model]:
    """The class of a model or of a view, which is named after its model: ``lightgcn``, or ``lightgcn-LABEL``.

    Raises:
        UsageError: no such model.

    >>> model_class("spectral-lowpass").name
    'spectral'
    """
    model = name.partition("-")[0]
    if model not in MODELS:
        hint = nearest(model, MODELS) or f"there are: {', '.join(MODELS)}"
        raise UnknownNameError(f"unknown model {name!r}", hint)
    return MODELS[model]


def make_settings(name: str, values: Mapping[str, Any]) -> Any:
    """The settings of model ``name``, defaults where ``values`` is silent.

    Raises:
        UsageError: an unknown model or field, or a value that breaks a rule.

    >>> make_settings("lightgcn", {"layers": 1}).layers
    1
    """
    settings = model_class(name).Settings
    known = [field.name for field in dataclasses.fields(settings)]
    for field in values:
        if field not in known:
            hint = nearest(field, known) or f"it has: {', '.join(known) or 'none'}"
            raise UnknownNameError(f"model {name} has no setting {field!r}", hint)
    return settings(**values)


def build_model(name: str, graph: HeteroGraph, settings: Mapping[str, Any], *, empty: bool = False) -> Model:
    """A model on a graph, not yet fitted, on the graph's device.

    Args:
        name: of the model, or of a view.
        graph: what it may know.
        settings: by that name; a fusion needs those of its views too.
        empty: whether parameters are to have shapes and no memory, for a state that is loaded in their place.
    """
    cls = model_class(name)
    if issubclass(cls, Fused):
        views = {view: build_model(view, graph, settings, empty=empty) for view in settings[name].views}
        fused = cls(graph, settings[name], views)
        return fused if empty else fused.to(graph.device)
    if empty:
        with torch.device("meta"):
            return cls(graph, settings[name])
    return cls(graph, settings[name]).to(graph.device)


def views_of(model: Model) -> dict[str, Model]:
    """The models that a model consists of, by name: its views, or itself."""
    return dict(model.views.items()) if isinstance(model, Fused) else {model.name: model}  # type: ignore[arg-type]


__all__ = [
    "EASE",
    "GAT",
    "MODELS",
    "AdditiveModel",
    "SLIM",
    "Content",
    "ContentSettings",
    "EmbeddingModel",
    "EmbeddingSettings",
    "Fused",
    "GATSettings",
    "History",
    "HistorySettings",
    "ItemItem",
    "ItemKNN",
    "Joint",
    "KnowledgeKNN",
    "LightGCN",
    "LightGCNSettings",
    "Model",
    "Popularity",
    "Spectral",
    "SpectralKNN",
    "SpectralKNNSettings",
    "SpectralSettings",
    "RP3Beta",
    "TrainedModel",
    "VectorModel",
    "build_model",
    "make_settings",
    "model_class",
    "views_of",
]
