"""Training on samples of a public data set: in a few epochs it is far ahead of popularity on rows it has not seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphrec.config import make_config
from graphrec.data import Part, read_dataset
from graphrec.evaluation import evaluate
from graphrec.graph import build_graph
from graphrec.models import build_model
from graphrec.training import fit_model, part_csr

pytestmark = pytest.mark.realdata


def test_samples_learn_what_people_like() -> None:
    dataset = read_dataset(Path(os.environ["GRAPHREC_DATA"]) / "amazon-beauty-kg", seed=1)
    options = {"epochs": 5, "patience": 0, "loss": "softmax", "l2": 1e-4, "learning_rate": 0.005, "batch_size": 2048}
    config = make_config("lightgcn", sampling="neighbor", fanout=(5, 5), seed=1, **options)
    fitted = fit_model(dataset, config)
    popularity = build_model("popularity", build_graph(dataset), make_config("popularity").models)
    popularity.fit()
    select = part_csr(dataset, Part.SELECT)
    beside = evaluate(popularity.score_block, train=popularity.graph.seen, test=select).metrics
    assert fitted.valid["recall@20"] > 2 * beside["recall@20"] > 0
