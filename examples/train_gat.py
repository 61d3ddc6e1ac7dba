"""Train a graph-attention recommender on CSV files; made to be copied and changed.

    python examples/train_gat.py
    python examples/train_gat.py mine.csv --knowledge facts.csv --items titles.csv --epochs 50 --out runs/mine
    python examples/train_gat.py mine.csv --device cuda --width 128 --heads 8

It reads the tables, trains, judges the model on held-out rows beside two baselines that need no training, prints
recommendations with the reasons for the first one, and saves a run folder for the `graphrec` command.
Without arguments it uses the sample bookshop of this repository and saves nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import graphrec
from graphrec.training import Epoch

SAMPLE = Path(__file__).resolve().parent.parent / "datasets" / "sample"
METRICS = ("recall@20", "ndcg@20", "hit_rate@20", "coverage@20")


def main() -> None:
    """Read, train, judge, recommend, explain, save."""
    options = arguments()
    data = read(options)
    print(f"{data.num_users} users, {data.num_items} items, {len(data.knowledge)} triples")

    gat = graphrec.train(
        data,
        model="gat",
        width=options.width,
        heads=options.heads,
        layers=options.layers,
        epochs=options.epochs,  # at most: it stops when the select rows show no gain
        seed=options.seed,
        device=options.device,
        refit=True,  # choose the epoch on the select rows, then train once more on all train rows
        on_epoch=progress,
    )
    print("", file=sys.stderr)
    show_comparison(data, gat)

    user = options.user or str(data.users.names([0])[0])
    best = gat.recommend([user], k=options.k)
    best.insert(2, "title", [data.item_title(index) or "" for index in data.items.lookup(best["item_id"])])
    print(f"\nfor {user}:\n{best.to_string(index=False)}")
    if len(best):
        show_explanation(gat, user, best["item_id"][0])

    if options.out is not None:
        gat.save(options.out)
        print(f"\nthe run is in {options.out}; try: graphrec recommend {options.out} --user {user}")


def read(options: argparse.Namespace) -> graphrec.Dataset:
    """The caller's tables, or the sample."""
    if options.interactions is None:
        return graphrec.read_dataset(
            SAMPLE / "interactions.csv", knowledge=SAMPLE / "knowledge.csv", items=SAMPLE / "items.csv"
        )
    return graphrec.read_dataset(options.interactions, knowledge=options.knowledge, items=options.items)


def progress(epoch: Epoch) -> None:
    """One line that follows training: rewritten on a terminal, repeated in a log."""
    judged = "" if epoch.metric is None else f"  recall@20 on select rows {epoch.metric:.4f}"
    line = f"{epoch.phase:6} epoch {epoch.epoch:3}/{epoch.epochs}  loss {epoch.loss:.4f}{judged}  {epoch.seconds:.1f} s"
    print(f"{line:90}", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def show_comparison(data: graphrec.Dataset, gat: graphrec.Recommender) -> None:
    """Full ranking of the test rows; all three models know the same train rows."""
    judged = {"gat": gat.evaluate()}
    for name in ("item_knn", "popularity"):
        judged[name] = graphrec.train(data, model=name, refit=True).evaluate()
    first = judged["gat"]
    print(f"\ntest rows of {first.num_users} users ({first.num_left_out} users have none to judge, or no train row)")
    print(f"{'':12}" + "".join(f"{metric:>14}" for metric in METRICS))
    for name, found in judged.items():
        print(f"{name:12}" + "".join(f"{found.metrics[metric]:14.4f}" for metric in METRICS))


def show_explanation(gat: graphrec.Recommender, user: str, item: str) -> None:
    """The paths that carry the score, and what the score is without each."""
    found = gat.explain(user, item)
    print(f"\nwhy {found.title!r} (score {found.score:.4f}); effect is what the score loses without the path:")
    for reason in found.reasons:
        print(f"  weight {reason.weight:.5f}  effect {reason.effect:+.4f}  {reason.text}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("interactions", nargs="?", type=Path, help="user_id, item_id, … (default: the sample)")
    parser.add_argument("--knowledge", type=Path, help="head, relation, tail")
    parser.add_argument("--items", type=Path, help="item_id, title, …")
    parser.add_argument("--width", type=int, default=64, help="numbers in a node's vector")
    parser.add_argument("--heads", type=int, default=4, help="attention heads; a divisor of the width")
    parser.add_argument("--layers", type=int, default=3, help="steps of propagation")
    parser.add_argument("--epochs", type=int, default=200, help="passes over the training pairs, at most")
    parser.add_argument("--seed", type=int, default=1, help="of every random draw")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--user", help="whom to recommend to (default: the first user)")
    parser.add_argument("--k", type=int, default=10, help="how many items to recommend")
    parser.add_argument("--out", type=Path, help="run folder to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
