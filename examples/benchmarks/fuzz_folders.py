"""What must hold of folders that graphrec wrote and somebody damaged: the answers of the whole one, or an error.

Each check returns what became of its input: ``read``, or the code of the error. All else raises.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from fuzz_checks import READ, modest, outcome
from fuzz_damage import Damage, sealed_anew
from torch import Tensor

import graphrec
from graphrec.config import make_config
from graphrec.data import Dataset, Part, check_dataset, read_dataset, synthetic
from graphrec.graph import build_graph
from graphrec.runs.stored import DESCRIPTION, digests
from graphrec.training import Epoch, fit_model

UNFINISHED = make_config("lightgcn", epochs=4, eval_every=1, average=1, width=8, batch_size=256, seed=3)


@dataclass(frozen=True)
class Wholes:
    """Undamaged run folders, what each of them answers, a graph folder, and checkpoints.

    Args:
        runs: by model.
        answers: likewise.
        graph: the folder of the data set behind them.
        stopped: checkpoints of a training that was stopped on the way.
        weights: that it ends in.
    """

    runs: dict[str, Path]
    answers: dict[str, tuple[pd.DataFrame, dict[str, float]]]
    graph: Path
    stopped: Path
    weights: dict[str, Tensor]

    @classmethod
    def made(cls, folder: Path) -> Wholes:
        """Train a little."""
        world = synthetic.generate(seed=3, num_users=60, num_items=40)
        tables = {"knowledge": world.knowledge, "items": world.items, "users": world.users}
        data = read_dataset(world.interactions, **tables, seed=3)
        data.save(folder / "graph")
        small: dict[str, Any] = {"epochs": 1, "width": 8, "batch_size": 1024}
        settings: dict[str, dict[str, Any]] = {
            "item_knn": {},
            "lightgcn": small,
            "fused": small | {"views": ("lightgcn", "item_knn")},
        }
        for name, options in settings.items():
            graphrec.train(data, name, **options).save(folder / name)
        runs = {name: folder / name for name in settings}
        answered = {name: answers(path) for name, path in runs.items()}

        def stop(epoch: Epoch) -> None:
            if epoch.epoch == 3:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            fit_model(data, UNFINISHED, checkpoints=folder / "stopped", on_epoch=stop)
        weights = fit_model(data, UNFINISHED).model.state_dict()
        return cls(runs, answered, folder / "graph", folder / "stopped", weights)


def answers(run: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """What a run recommends to everybody, and how it is judged."""
    recommender = graphrec.load(run)
    lists = recommender.recommend(k=5)
    recommender.explain(lists["user_id"][0], lists["item_id"][0])
    return lists, recommender.evaluate().metrics


def check_run(wholes: Wholes, model: str, damage: list[Damage], sealed: bool, folder: Path) -> str:
    """A damaged run answers as before, or is refused.

    Args:
        sealed: whether the digests are made anew, as somebody would who wants the files to be believed; then, or with
            other settings, other answers may come, but whole ones.
    """
    run = Path(shutil.copytree(wholes.runs[model], folder / "run"))
    with modest(folder):
        touched = {one.do(run) for one in damage}
        if sealed and DESCRIPTION.as_posix() not in touched and (run / "dataset.json").exists():
            described = json.loads((run / DESCRIPTION).read_text())
            (run / DESCRIPTION).write_text(json.dumps(described | {"sha256": digests(run)}))
        code, found = outcome(lambda: answers(run))
        if code == READ:
            lists, metrics = wholes.answers[model]
            if not sealed and "config.toml" not in touched:
                pd.testing.assert_frame_equal(found[0], lists)
                assert found[1] == metrics
            check_lists(found[0])
    return code


def check_lists(lists: pd.DataFrame) -> None:
    """Ranks from 1, scores that fall, no item twice."""
    assert not lists.duplicated(["user_id", "item_id"]).any()
    for _, one in lists.groupby("user_id"):
        assert one["rank"].tolist() == list(range(1, len(one) + 1)) and one["score"].is_monotonic_decreasing


def check_graph(wholes: Wholes, damage: list[Damage], folder: Path) -> str:
    """A damaged graph folder makes a graph, or is refused."""
    graph = Path(shutil.copytree(wholes.graph, folder / "graph"))
    with modest(folder):
        for one in damage:
            one.do(graph)

        def used() -> None:
            data = Dataset.load(graph)
            build_graph(data, tuple(Part))
            check_dataset(data)
            graphrec.train(data, "popularity")

        return outcome(used)[0]


def check_checkpoint(wholes: Wholes, damage: list[Damage], sealed: bool, folder: Path) -> str:
    """Training goes on from damaged checkpoints to the weights that it had ended in, or they are refused.

    Args:
        sealed: whether the digests are made anew; then it may end in other weights.
    """
    checkpoints = Path(shutil.copytree(wholes.stopped, folder / "stopped"))
    data = Dataset.load(wholes.graph)
    with modest(folder):
        for one in damage:
            one.do(checkpoints)
        if sealed:
            for path in checkpoints.glob("*.safetensors"):
                sealed_anew(path)
        code, found = outcome(lambda: fit_model(data, UNFINISHED, checkpoints=checkpoints).model.state_dict())
        if code == READ:
            for name, tensor in wholes.weights.items():
                assert found[name].isfinite().all() if sealed else torch.equal(found[name], tensor), name
    return code
