"""All views on public sets, each with as many settings tried, three seeds, and paired tests of what attention is worth.

    python examples/benchmarks/compare.py DATA --out FOLDER
    python examples/benchmarks/compare.py DATA --out FOLDER --sets lastfm-kgcn --views lightgcn gat --trials 4
    python examples/benchmarks/compare.py DATA --out FOLDER --tables

DATA holds a folder for each set of compare.toml. Of each view in views.toml, as many settings are drawn as --trials
says, or all where there are fewer; each is trained on the fit rows and stopped and judged on the select rows, and the
one with the best recall@20 is chosen. With each seed it is stopped on the select rows once more, trained anew on all
train rows for the epochs that it took, and judged on the test rows, ranking all items: over all test pairs, over those
whose item has fewer than 5 train rows ("rare"), and over those whose item has none ("new"). A view that trains nothing
is the same with every seed and is judged once. A fusion has nothing to draw: its views have the settings that were
chosen for them, and its weights are fitted on the blend rows, once a seed; beside what it chooses to use, its weights
by attention and its constant weights are judged.

Each trial and each judging is written down when it is done, so a stopped call goes on; what other settings gave is made
anew. A view's training is kept, and a fusion takes it over. --tables prints what there is. Every reading of test rows
is a line of test_reads.jsonl, which names the groups judged on them at once.
The tests at the end are paired t-tests over users of recall@20, averaged over the seeds; all p-values together, over
all sets, are corrected by Holm's method. Tables go to stdout, as Markdown; --out has what they are made of, SET.json,
which is enough for --tables.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
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
from compare_tables import GROUPS, METRICS, READS, report
from search_space import Options, View, holds, once, read_toml, read_views

from graphrec.config import RunConfig, TrainingConfig, parse_config
from graphrec.data import Dataset, Part, build_dataset
from graphrec.errors import DataError
from graphrec.evaluation import evaluate, keep_rare
from graphrec.files import atomic_path, write_text
from graphrec.models import MODELS, Fused, Model, TrainedModel
from graphrec.training import Fitted, FusionReport, fit_model, part_csr, settle_views


class OutOfTime(Exception):
    """A trial has taken as long as it may."""


@dataclass(frozen=True)
class Trials:
    """How much is tried.

    Args:
        count: settings of a view; cap: seconds of training of one.
        seeds: of the final trainings.
    """

    count: int
    cap: float
    seeds: list[int]


@dataclass(frozen=True)
class Set:
    """A data set, its training and the folder for what is measured on it."""

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
        items = self.source / self.recipe["items"] if "items" in self.recipe else None
        table = self.source / self.recipe.get("file", "")
        return build_dataset(table, graph, items=items, seed=self.seed, **self.recipe.get("build", {}))


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


def try_settings(here: Set, view: View, options: Options, cap: float) -> Options:
    """What a setting reaches on the select rows; one that takes longer than ``cap`` seconds reaches nothing."""
    begun = time.monotonic()

    def check_time(_: object) -> None:
        if time.monotonic() - begun > cap:
            raise OutOfTime

    config = view.config(here.data, options, here.recipe["training"], seed=here.seed)
    try:
        fitted = fit(here, config, on_epoch=check_time, on_stride=check_time)
    except OutOfTime:
        return {"recall@20": None, "why": f"not trained within {cap:g} s"}
    reached = {"recall@20": fitted.valid["recall@20"], "seconds": round(time.monotonic() - begun, 1)}
    return {"epochs": fitted.epochs.get(view.model, 0)} | reached


def choose(here: Set, view: View, trials: Trials) -> Options | None:
    """The trial that was best on the select rows; None if none was finished."""
    done = []
    for number, options in enumerate(view.draw(trials.count, here.seed)):
        file = here.folder / view.name / f"trial-{number:02}.json"
        told = {"options": options, "training": here.recipe["training"]}
        done.append(once(file, told, lambda own=options: try_settings(here, view, own, trials.cap)))
    finished = [trial for trial in done if trial["recall@20"] is not None]
    return max(finished, key=lambda trial: trial["recall@20"], default=None)


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
    told = {"seed": seed, "options": own, "chosen": chosen, "training": here.recipe["training"]}
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
    judge(here, model, folder, told | {"reason": fusion.reason})


def fusion_values(here: Set, fused: Options, chosen: dict[str, Options]) -> dict[str, Any]:
    """A fusion's configuration as nested values: settings by model, those of the set where the model has them.

    Args:
        here: the set.
        fused: settings of the fusion; chosen: those of its views.
    """
    shared = here.recipe["training"]
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


def members(view: View, views: list[View], trials: dict[str, Options]) -> dict[str, Options]:
    """Chosen settings of each model that a fusion takes; those of the view of the model's own name come first."""
    found = {}
    for model in view.fuses:
        own = [each.name for each in views if each.model == model and each.name in trials]
        if own:
            found[model] = trials[model if model in own else own[0]]["options"]
    return found


def run(here: Set, views: list[View], trials: Trials) -> None:
    """Everything on one set that is not there yet."""
    chosen: dict[str, Options] = {}
    for view in views:
        why = view.obstacle(here.data)
        say(f"{here.name} {view.name} {f'left out: {why}' if why else '…'}")
        if why:
            continue
        if view.fuses:
            taken = members(view, views, chosen)
            for seed in trials.seeds:
                finish_fusion(here, view, taken, seed)
            continue
        trial = choose(here, view, trials)
        if trial is not None:
            chosen[view.name] = trial
            finish(here, view, trial, trials.seeds)


def say(words: str) -> None:
    """To stderr, with the time."""
    print(time.strftime("%H:%M:%S"), words, file=sys.stderr, flush=True)


def parse(sets: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with a folder for each set")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where graphs and results go")
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets, metavar="SET")
    parser.add_argument("--views", nargs="+", metavar="VIEW", help="of views.toml (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N")
    parser.add_argument("--trials", type=int, default=6, metavar="N", help="settings tried of a view, at most")
    parser.add_argument("--cap", type=float, default=600, metavar="SECONDS", help="of a trial's training")
    parser.add_argument("--tables", action="store_true", help="run nothing, print what is there")
    return parser.parse_args()


def main() -> None:
    """Run each set and print the tables."""
    recipe = read_toml("compare.toml")
    options = parse(list(recipe["sets"]))
    trials, views = Trials(options.trials, options.cap, options.seeds), read_views(options.views)
    for name in options.sets if not options.tables else ():
        own = recipe["sets"][name]
        run(Set(name, own, recipe["seed"], options.data / name, options.out / name), views, trials)
    print(report(options.out, options.sets, options.seeds, recipe["tests"]))


if __name__ == "__main__":
    main()
