"""From CSV files to a graph: read them, look at what was read, build the graph, keep it.

    python examples/build_graph_from_csv.py
    python examples/build_graph_from_csv.py mine.csv --knowledge facts.csv --items titles.csv --out graph/

Without arguments it reads the sample bookshop of this repository and writes nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import graphrec
from graphrec.data import check_dataset
from graphrec.graph import graph_report

SAMPLE = Path(__file__).resolve().parent.parent / "datasets" / "sample"


def main() -> None:
    """Read, check, build, print, save."""
    options = arguments()
    if options.interactions is None:
        options.interactions = SAMPLE / "interactions.csv"
        options.knowledge = options.knowledge or SAMPLE / "knowledge.csv"
        options.items = options.items or SAMPLE / "items.csv"

    # 1. Tables in, integers out. A row that cannot be read stops here, with its file and line.
    data = graphrec.read_dataset(
        options.interactions, knowledge=options.knowledge, items=options.items, split=options.split
    )
    facts = check_dataset(data)
    print(f"{facts['users']} users, {facts['items']} items, {facts['entities']} entities")
    print(f"{facts['interactions']} interactions: {facts['density']:.2%} of all pairs")
    print(f"rows by part: {facts['parts']}")
    print(f"{facts['knowledge']['linked_items']['share']:.0%} of the items are linked to knowledge\n")

    # 2. The graph that models propagate on: fit rows and knowledge, every edge beside its inverse.
    graph = graphrec.build_graph(data)
    print(graph)
    print(json.dumps(graph_report(graph), indent=2), end="\n\n")

    # 3. What one node receives. A node is a number; the dataset knows its name.
    node = graph.num_users + int(graph.seen.transpose[0].degree.argmax())
    edges = range(*graph.adjacency.rowptr[node : node + 2].tolist())
    print(f"{data.node_name(node)!r}, the item with most users, receives over {len(edges)} edges; some of them:")
    for edge in [*edges[:3], *edges[3:][-3:]]:
        sender, relation = int(graph.adjacency.col[edge]), graph.relations[int(graph.adjacency.edge_type[edge])]
        print(f"  {data.node_name(node)} <- {relation} - {data.node_name(sender)}")

    # 4. A folder that `graphrec train` and graphrec.Dataset.load read.
    if options.out is not None:
        data.save(options.out)
        print(f"\nthe graph is in {options.out}; next: graphrec train {options.out} --out runs/first")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("interactions", nargs="?", type=Path, help="user_id, item_id, … (default: the sample)")
    parser.add_argument("--knowledge", type=Path, help="head, relation, tail")
    parser.add_argument("--items", type=Path, help="item_id, title, …")
    parser.add_argument("--split", help="given, last, time or random (default: what the tables allow)")
    parser.add_argument("--out", type=Path, help="folder to write the graph to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
