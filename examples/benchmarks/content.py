"""Items described by what the knowledge says of them, warm and cold, on the generated bookshop.

    python examples/benchmarks/content.py

Each book's facts become columns of its items table (genre, author, themes joined by ``|``), so that ``content`` reads
what ``gat`` has as edges. Warm: recall@20 of the select rows. Cold: every tenth book is without any training row, and
the rows of such books are to be found, among these books and among all. Nothing is chosen on test rows. The table goes
to stdout, as Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from graphrec.config import TrainingConfig
from graphrec.data import Dataset, Part, read_dataset, synthetic
from graphrec.evaluation import evaluate
from graphrec.graph import build_graph
from graphrec.models import Model, TrainedModel, build_model, make_settings
from graphrec.sparse import CSR
from graphrec.training import part_csr
from graphrec.training.trainer import Trainer

MODELS = {
    "popularity": {},
    "item_knn": {},
    "lightgcn": {},
    "gat": {},
    "gat --knowledge false": {"knowledge": False},
    "content": {},
    "content --attention false": {"attention": False},
}


def facts_as_columns(knowledge: pd.DataFrame) -> pd.DataFrame:
    """A column for each relation, a row for each head."""
    table = knowledge.groupby(["head", "relation"])["tail"].agg("|".join).unstack()
    return table.rename_axis("item_id").reset_index()


def with_cold_items(dataset: Dataset, seed: int) -> tuple[Dataset, Tensor]:
    """The train rows of a tenth of the items become blend rows, all others fit rows; and which items these are."""
    cold = np.zeros(dataset.num_items, dtype=bool)
    cold[np.random.default_rng(seed).permutation(dataset.num_items)[: dataset.num_items // 10]] = True
    rows = dataset.interactions
    part = np.where(rows.part == Part.BLEND, Part.FIT, rows.part).astype(np.uint8)
    part[(part != Part.TEST) & cold[rows.item]] = Part.BLEND
    return dataclasses.replace(dataset, interactions=dataclasses.replace(rows, part=part)), torch.from_numpy(cold)


def fitted(name: str, dataset: Dataset, epochs: int, seed: int) -> Model:
    """A model on the fit rows, stopped on the select rows."""
    model_name = name.split()[0]
    graph = build_graph(dataset)
    model = build_model(model_name, graph, {model_name: make_settings(model_name, MODELS[name])})
    if isinstance(model, TrainedModel):
        config = TrainingConfig(epochs=epochs, patience=2, eval_every=4, batch_size=512)
        Trainer(model, config, seed=seed, select=part_csr(dataset, Part.SELECT)).run()
    else:
        model.fit()
    return model.eval()


def recall(model: Model, target: CSR, among: Tensor | None = None) -> float:
    """Recall@20, among some items or all."""

    def score_block(users: Tensor) -> Tensor:
        scores = model.score_block(users)
        return scores if among is None else scores.masked_fill(~among, -torch.inf)

    return evaluate(score_block, train=model.graph.seen, test=target, ks=(20,)).metrics["recall@20"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    world = synthetic.generate()
    items = facts_as_columns(world.knowledge)
    data = read_dataset(world.interactions, knowledge=world.knowledge, items=items, split="random")
    without, cold = with_cold_items(data, options.seed)
    select, target = part_csr(data, Part.SELECT), part_csr(without, Part.BLEND)
    print("| model | warm | cold, among cold | cold, among all |\n|---|---:|---:|---:|")
    for name in MODELS:
        warm = recall(fitted(name, data, options.epochs, options.seed), select)
        model = fitted(name, without, options.epochs, options.seed)
        print(f"| {name} | {warm:.4f} | {recall(model, target, cold):.4f} | {recall(model, target):.4f} |", flush=True)


if __name__ == "__main__":
    main()
