"""graphrec from Python: five lines, then all that a recommender is asked for, then its parts in a model of your own.

    python examples/use_as_library.py
    python examples/use_as_library.py --data my_tables/ --epochs 60 --user ann --item 007

``--data`` names a folder with interactions.csv, knowledge.csv and items.csv.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import graphrec
from graphrec.data import Part
from graphrec.evaluation import evaluate
from graphrec.losses import bpr_loss
from graphrec.sampling import BatchSampler, generator_for
from graphrec.sparse import attend
from graphrec.training import part_csr

SAMPLE = Path(__file__).resolve().parent.parent / "datasets" / "sample"


def five_lines(folder: Path, epochs: int, user: str, item: str) -> graphrec.Recommender:
    """All there is to it."""
    tables = {name: folder / f"{name}.csv" for name in ("interactions", "knowledge", "items")}
    data = graphrec.read_dataset(**tables)
    recommender = graphrec.train(data, model="gat", epochs=epochs, seed=1)
    print(recommender.recommend([user], k=5))
    print(recommender.explain(user, item))
    return recommender


def ask(recommender: graphrec.Recommender, user: str) -> None:
    """Everything is asked and answered in your own ids; answers are pandas tables."""
    catalogue = recommender.dataset.items.names(range(recommender.dataset.num_items)).tolist()

    heading("several users at once, from a shortlist, without one item")
    print(recommender.recommend([user], k=3, items=catalogue[:50], exclude=catalogue[:1]))

    heading("someone the model has never met, from what they used")
    print(recommender.recommend(history=catalogue[:3], k=3))

    heading("items like an item, users like a user")
    print(recommender.similar_items(catalogue[:1], k=3))
    print(recommender.similar_users([user], k=3))

    heading("single scores, and how good the model is on rows it never saw")
    print(recommender.score([user, user], catalogue[:2]))
    print({name: round(value, 4) for name, value in recommender.evaluate().metrics.items() if name.endswith("@20")})


def save_and_load(recommender: graphrec.Recommender, user: str) -> None:
    """A run folder holds ids, tables, settings and weights: all that recommending needs, and no pickle."""
    heading("saved, loaded, and the same answers")
    with tempfile.TemporaryDirectory() as folder:
        recommender.save(Path(folder) / "run")
        again = graphrec.load(Path(folder) / "run")
        same = again.recommend([user], k=5).equals(recommender.recommend([user], k=5))
    print(f"the same recommendations: {same}")


class OwnAttention(nn.Module):
    """A model of your own: each node adds what its neighbours send, weighed by a learned bilinear attention.

    Args:
        graph: any ``HeteroGraph``; its ``adjacency`` is what ``graphrec.sparse`` works on.
        width: of a vector.
    """

    def __init__(self, graph: graphrec.HeteroGraph, width: int) -> None:
        super().__init__()
        self.adjacency = graph.adjacency
        self.num_users, self.num_items = graph.num_users, graph.num_items
        generator = generator_for(5)
        self.table = nn.Parameter(0.1 * torch.randn(graph.num_nodes, width, generator=generator))
        self.query = nn.Parameter(torch.zeros(width, width))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Vectors of users [U, W] and items [I, W]."""
        value = self.table[:, None]  # one head: [N, 1, W]
        received, _ = attend(self.adjacency, (self.table @ self.query)[:, None], value, value)
        final = self.table + received[:, 0]
        return final[: self.num_users], final[self.num_users : self.num_users + self.num_items]


def train_own_model(data: graphrec.Dataset, epochs: int) -> None:
    """A plain PyTorch loop; graphrec brings the graph, the batches, the loss, the ranking and the metrics."""
    heading("a model of your own on graphrec's parts")
    graph = graphrec.build_graph(data)
    model = OwnAttention(graph, width=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = BatchSampler(graph.seen, batch_size=1024, seed=1)
    for epoch in range(1, epochs + 1):
        for batch in batches.epoch(epoch):
            user, item = model()
            loss = bpr_loss(user[batch.user], item[batch.positive], item[batch.negative])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        user, item = model()
    found = evaluate(lambda users: user[users] @ item.T, train=graph.seen, test=part_csr(data, Part.SELECT))
    print(f"loss {loss.item():.4f}, recall@20 on the select rows {found.metrics['recall@20']:.4f}")


def heading(text: str) -> None:
    """A line between two answers."""
    print(f"\n-- {text}")


def main() -> None:
    """Run all of it in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SAMPLE, help="folder with the three tables (default: sample)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training pairs, at most")
    parser.add_argument("--user", default="alice", help="the user asked about")
    parser.add_argument("--item", default="i9", help="the item asked about")
    options = parser.parse_args()
    recommender = five_lines(options.data, options.epochs, options.user, options.item)
    ask(recommender, options.user)
    save_and_load(recommender, options.user)
    train_own_model(recommender.dataset, options.epochs)


if __name__ == "__main__":
    main()
