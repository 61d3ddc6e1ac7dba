"""One library in a process of its own: it answers the commands of peers.py, which starts it.

The process runs in a scratch folder, so that what a library writes beside its work is gone with it, and under the
library's own interpreter: this file needs the standard library, torch and that one library. Its first line on stdout is
JSON about what was read; then each line on stdin is answered by a line of JSON:

- ``graph`` builds the normalised graph from the interactions in memory, and gives the seconds.
- ``model`` makes the model and its optimizer on that graph.
- ``step`` takes one training step, sampling included, and gives the seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch


class Library(Protocol):
    """What is asked of each library; making one reads the files.

    Args:
        sizes: users, items and interactions that it has read.
        sampling: seconds of sampling that belong to a step but were spent before it.
    """

    sizes: tuple[int, int, int]
    sampling: float

    def build(self) -> object:
        """Build the normalised graph from the interactions in memory."""

    def start(self) -> None:
        """Make the model and its optimizer on the graph that was built."""

    def step(self) -> object:
        """Take one training step."""


class Graphrec:
    """Ours, as ``graphrec train`` trains."""

    sampling = 0.0

    def __init__(self, options: argparse.Namespace) -> None:
        from graphrec.bench.pairs import pairs_of
        from graphrec.bench.work import our_building
        from graphrec.data import read_dataset

        self.pairs = pairs_of(read_dataset(options.graph))
        self.sizes = (self.pairs.num_users, self.pairs.num_items, len(self.pairs.user))
        self.build = our_building(self.pairs)
        self.build()  # once before the clock, as RecBole's model does when it is made

    def start(self) -> None:
        from graphrec.bench.work import our_step

        self.step = our_step(self.pairs)


class LightGCNPyTorch:
    """gusye1234/LightGCN-PyTorch, whose modules stand in the folder ``code`` and read the command line when imported.

    It draws the triples of a whole epoch before the first step, so each step counts with its share of that.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        shape = [f"--layer={options.layers}", f"--recdim={options.width}", f"--bpr_batch={options.batch}"]
        sys.argv = ["main.py", *shape, "--tensorboard=0"]
        sys.path.insert(0, str(options.folder / "code"))
        import dataloader
        import model
        import utils
        import world

        self.model, self.utils, self.world = model, utils, world
        for name in ("train.txt", "test.txt"):  # beside the original may lie a graph that it would load, not build
            shutil.copy(options.graph / name, name)
        dataloader.sp.save_npz = lambda path, matrix: None  # the copy for its next start is no part of building
        self.data = dataloader.Loader(path=os.getcwd())
        self.sizes = (self.data.n_users, self.data.m_items, self.data.trainDataSize)

    def build(self) -> None:
        self.data.Graph = None
        self.data.getSparseGraph()

    def start(self) -> None:
        network = self.model.LightGCN(self.world.config, self.data).to(self.world.device)
        self.loss = self.utils.BPRLoss(network.train(), self.world.config)
        begin = time.perf_counter()
        drawn = torch.as_tensor(self.utils.UniformSample_original(self.data)).long()
        batches = list(self.utils.minibatch(*self.utils.shuffle(*drawn.unbind(1))))
        self.sampling = (time.perf_counter() - begin) / len(batches)
        self.batches = itertools.cycle(batches)

    def step(self) -> None:
        self.loss.stageOne(*next(self.batches))


class RecBole:
    """RecBole's LightGCN, optimized as its Trainer does it."""

    sampling = 0.0

    def __init__(self, options: argparse.Namespace) -> None:
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.model.general_recommender import LightGCN

        os.mkdir("pairs")
        for part in ("train", "test"):
            write_atomic(options.graph / f"{part}.txt", Path("pairs", f"pairs.{part}.inter"))
        settings = {
            "data_path": os.getcwd(),
            "benchmark_filename": ["train", "test", "test"],
            "load_col": {"inter": ["user_id", "item_id"]},
            "n_layers": options.layers,
            "embedding_size": options.width,
            "train_batch_size": options.batch,
            "reg_weight": 1e-4,
            "use_gpu": False,
        }
        sys.argv = ["run_recbole.py"]
        config = Config("LightGCN", "pairs", config_dict=settings)
        train, *_ = data_preparation(config, create_dataset(config))
        self.config, self.model, self.batches = config, LightGCN(config, train.dataset), endless(train)
        # RecBole counts one user and one item more, for padding
        self.sizes = (train.dataset.user_num - 1, train.dataset.item_num - 1, train.dataset.inter_num)

    def build(self) -> None:
        self.model.norm_adj_matrix = self.model.get_norm_adj_mat()

    def start(self) -> None:
        from recbole.trainer import Trainer

        self.optimizer = Trainer(self.config, self.model.train()).optimizer

    def step(self) -> None:
        self.optimizer.zero_grad()
        loss = self.model.calculate_loss(next(self.batches))
        loss.item()
        loss.backward()
        self.optimizer.step()


LIBRARIES: dict[str, Callable[[argparse.Namespace], Library]] = {
    "graphrec": Graphrec,
    "lightgcn-pytorch": LightGCNPyTorch,
    "recbole": RecBole,
}


def write_atomic(lists: Path, table: Path) -> None:
    """Turn lines ``user item item …`` into RecBole's table of pairs."""
    with lists.open() as lines, table.open("w") as out:
        out.write("user_id:token\titem_id:token\n")
        for user, *items in map(str.split, lines):
            out.writelines(f"{user}\t{item}\n" for item in items)


def endless(epochs: Iterable[Any]) -> Iterator[Any]:
    """The batches of one epoch after the other, each drawn anew."""
    while True:
        yield from epochs


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def serve(options: argparse.Namespace) -> Iterator[Any]:
    """The answers, one a command."""
    library = LIBRARIES[options.library](options)
    users, items, interactions = library.sizes
    yield {"threads": torch.get_num_threads(), "users": users, "items": items, "interactions": interactions}
    for command in map(str.strip, sys.stdin):
        if command == "graph":
            yield seconds(library.build)
        elif command == "model":
            yield library.start()
        else:
            yield seconds(library.step) + library.sampling


def main() -> None:
    """Answer on what was stdout; whatever the library prints goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("graph", type=Path, help="folder with train.txt and test.txt")
    parser.add_argument("--folder", type=Path, help="the checkout of LightGCN-PyTorch")
    for size in ("layers", "width", "batch"):
        parser.add_argument(f"--{size}", type=int, required=True)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for answer in serve(options):
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
