"""What compare.py fits and judges: views, fusions of them, and what is chosen for a time; each is kept in a file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from compare_tables import GROUPS, METRICS, READS
from search_space import Options, View, holds

from graphrec.config import RunConfig, TrainingConfig, parse_config
from graphrec.data import Dataset, Part, build_dataset, synthetic
from graphrec.errors import DataError
from graphrec.evaluation import evaluate, keep_rare
from graphrec.files import atomic_path, write_text
from graphrec.models import MODELS, Fused, Model, TrainedModel
from graphrec.training import Fitted, FusionReport, choose, choose_recency, fit_model, part_csr, settle_views


@dataclass(frozen=True)
class Set:
    """A data set, its training and the folder for what is measured on it.

    Attributes:
        shared: settings that all views take which have them: of the training, the width, and how much more newer items
            count, which is chosen on select rows.
    """

    name: str
    recipe: dict[str, Any]
    seed: int
    source: Path
    folder: Path

    @cached_property
    def data(self) -> Dataset:
        """The graph folder, built by the first call."""
        graph = self.folder / "graph"
        if (graph / "dataset.json").exists():
            return Dataset.load(graph)
        if "generate" in self.recipe:
            shop = synthetic.generate(**self.recipe["generate"])
            return build_dataset(
                shop.interactions, graph, knowledge=shop.knowledge, items=shop.items, users=shop.users, seed=self.seed
            )
        items = self.source / self.recipe["items"] if "items" in self.recipe else None
        table = self.source / self.recipe.get("file", "")
        return build_dataset(table, graph, items=items, seed=self.seed, **self.recipe.get("build", {}))

    @cached_property
    def shared(self) -> Options:
        """The shared settings, computed once."""
        recency = choose_recency(self.data, seed=self.seed)
        return self.recipe["training"] | ({"recency": recency} if recency else {})


@contextmanager
def shared_trainings(here: Set, config: RunConfig) -> Iterator[Path]:
    """A folder for the checkpoints of a run, with those in it of trainings that other runs have done the same.

    A training is known by the view's settings, the training's, and the seed; its graph is the set's.
    """
    names = getattr(config.models[config.model], "views", (config.model,))
    kept = here.folder / "trainings"
    kept.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=kept) as folder:
        files = {}
        for name in names:
            told = [name, asdict(config.models[name]), config.training_of(name).model_dump(mode="json"), config.seed]
            key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
            for phase in ("select", "refit"):
                files[Path(folder) / f"{name}.{phase}.safetensors"] = kept / f"{name}-{key}.{phase}.safetensors"
        for own, known in files.items():
            if known.exists():
                os.link(known, own)
        yield Path(folder)
        for own, known in files.items():
            if own.exists():
                own.replace(known)


def fit(here: Set, config: RunConfig, **watch: Any) -> Fitted:
    """A fitted model, from trainings that are known where there are any."""
    with shared_trainings(here, config) as checkpoints:
        return fit_model(here.data, config, checkpoints=checkpoints, **watch)


def judge(here: Set, model: Model, folder: Path, told: Options) -> None:
    """Read the test rows, all and those of rare items, and write down the values of each user."""
    train, test = model.graph.seen, part_csr(here.data, Part.TEST)
    with (here.folder / READS).open("a", encoding="utf-8") as reads:
        reads.write(json.dumps({"view": folder.parent.name, "groups": list(GROUPS), **told}) + "\n")
    found, tables = {}, []
    for group, below in GROUPS.items():
        rows = test if below is None else keep_rare(test, train, below=below)
        try:
            judged = evaluate(model.score_block, train=train, test=rows, ks=(20,))
        except DataError:  # nobody has such a test pair
            continue
        found[group] = {metric: judged.metrics[metric] for metric in METRICS} | {"users": judged.num_users}
        tables.append(judged.per_user[["user_index", *METRICS]].assign(group=group))
    with atomic_path(folder / "per_user.parquet") as temporary:
        pd.concat(tables).to_parquet(temporary, index=False)
    write_text(folder / "row.json", json.dumps(told | {"test": found}, indent=1) + "\n")


def finish(here: Set, view: View, trial: Options, seeds: list[int]) -> None:
    """With each seed train on all train rows with what was chosen, and judge, unless that was done."""
    first = here.folder / view.name / f"seed-{seeds[0]}"
    is_trained = issubclass(MODELS[view.model], TrainedModel)
    training = trial["training"] | ({} if is_trained else {"patience": 0})  # there is nothing to stop
    for seed in seeds:
        folder = first.with_name(f"seed-{seed}")
        told = {"seed": seed, "options": trial["options"], "training": trial["training"]}
        if holds(folder / "row.json", told):
            continue
        if folder != first and not is_trained:
            shutil.copytree(first, folder, dirs_exist_ok=True)
            row = json.loads((first / "row.json").read_text(encoding="utf-8"))
            write_text(folder / "row.json", json.dumps(row | told, indent=1) + "\n")
            continue
        fitted = fit(here, view.config(here.data, trial["options"], training, refit=True, seed=seed))
        judge(here, fitted.model, folder, told | {"epochs": fitted.epochs.get(view.model, 0)})


def finish_fusion(here: Set, view: View, chosen: dict[str, Options], seed: int) -> None:
    """Train a fusion of views as they were chosen, and judge it with each kind of weights, unless that was done."""
    folder = here.folder / view.name / f"seed-{seed}"
    own = view.options | {"views": list(chosen)}
    told = {"seed": seed, "options": own, "chosen": chosen, "training": here.shared}
    if holds(folder / "row.json", told):
        return
    config = settle_views(parse_config(fusion_values(here, own, chosen) | {"seed": seed, "refit": True}), here.data)
    fitted = fit(here, config)
    model, fusion = fitted.model, fitted.fusion
    assert isinstance(model, Fused) and fusion is not None
    used = (model.chosen, model.attention.detach().clone(), model.log_scale.detach().clone())
    for kind in ("attention", "constant") if fusion.fitted else ():
        weigh(model, fusion, kind)
        judge(here, model, here.folder / f"{view.name}-{kind}" / folder.name, told)
    model.chosen = used[0]
    model.set_weights(*used[1:])
    judge(here, model, folder, told | {"reason": fusion.reason, "enough": fusion.enough})


def finish_timed(here: Set, view: View, seed: int) -> None:
    """Train what graphrec chooses for the view's minutes, and judge it, unless that was done."""
    folder = here.folder / view.name / f"seed-{seed}"
    told = {"seed": seed, "options": {"minutes": view.minutes}}
    if holds(folder / "row.json", told):
        return
    begun = time.monotonic()
    config = choose(here.data, minutes=view.minutes, seed=seed).config
    fitted = fit_model(here.data, config)
    assert fitted.fusion is not None
    seconds, fusion = round(time.monotonic() - begun), fitted.fusion
    found = {"views": fusion.views, "reason": fusion.reason, "enough": fusion.enough, "seconds": seconds}
    judge(here, fitted.model, folder, told | found)


def fusion_values(here: Set, fused: Options, chosen: dict[str, Options]) -> dict[str, Any]:
    """A fusion's configuration as nested values: settings by model, those of the set where the model has them.

    Args:
        here: the set.
        fused: settings of the fusion; chosen: those of its views.
    """
    shared = here.shared
    models: dict[str, Any] = {"fused": fused}
    for model, options in chosen.items():
        own = {each.name for each in fields(MODELS[model].Settings)}
        models[model] = {name: value for name, value in shared.items() if name in own} | options
    training = {name: value for name, value in shared.items() if name in TrainingConfig.model_fields}
    return {"model": "fused", "training": training, "models": models}


def weigh(model: Fused, fusion: FusionReport, kind: str) -> None:
    """Put the fusion's fitted weights in place: by attention, or constant."""
    scale, attention = fusion.constant_scale, torch.zeros_like(model.attention)
    if kind == "attention":
        scale = fusion.fitted["scale"]
        attention = torch.tensor([list(row.values()) for row in fusion.fitted["attention"].values()])
    model.chosen = None
    model.set_weights(attention, torch.tensor(list(scale.values())).log())
