"""train: from a graph folder to a run folder, with progress for those who wait."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphrec.cli import options as o
from graphrec.cli.console import flat, say, say_next, shown
from graphrec.cli.errors import interruptible
from graphrec.cli.settings import given_settings
from graphrec.cli.wishes import Wish, read_file, tuned
from graphrec.errors import CombinationError, Interrupted, UsageError

if TYPE_CHECKING:
    from graphrec.config import RunConfig
    from graphrec.data import Dataset
    from graphrec.runs import Run
    from graphrec.training import Epoch, Stride

LISTS = {"views", "without_relations"}  # settings that are names joined by commas
# parameters of the command; all others are options of the configuration
OWN = ("graph", "out", "config", "minutes", "tune", "resume")


def _training(help_text: str) -> typer.models.OptionInfo:
    return typer.Option(help=help_text, rich_help_panel="Training")


def train(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to write.")],
    graph: Annotated[
        Path | None, typer.Argument(metavar="GRAPH", help="A graph folder that graphrec build made.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="fused (the default), gat, lightgcn, item_knn, …: docs/models has all.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file or a recipe's name; options given beside it come first."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M", help="Choose views and epochs so that the run, refit included, ends in about M minutes."
        ),
    ] = None,
    tune: Annotated[
        float | None,
        typer.Option(
            metavar="M", help="Search the settings on the select rows for M minutes, then train with the best."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    warm_start: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start from the vectors of a finished run, by id.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    refit: Annotated[bool | None, _training("Train once more on all train rows, for the epochs chosen.")] = None,
    epochs: Annotated[int | None, _training("Passes over the training pairs, at most.")] = None,
    batch_size: Annotated[int | None, _training("Pairs a step.")] = None,
    learning_rate: Annotated[float | None, _training("Of the optimiser.")] = None,
    patience: Annotated[int | None, _training("Evaluations without a better one before stopping; 0: never.")] = None,
    eval_every: Annotated[int | None, _training("Epochs between evaluations on the select rows.")] = None,
    average: Annotated[int | None, _training("Epochs over which weights are averaged; 0 keeps the last ones.")] = None,
    sampling: Annotated[
        str | None, _training("full, or neighbor: propagate over a sample of each batch's neighbourhood.")
    ] = None,
    fanout: Annotated[
        list[str] | None,
        _training("Edges drawn of a node in each hop: 15,10, or interacts=15,10 and knowledge=5,5; repeatable."),
    ] = None,
    pool: Annotated[int | None, _training("Negatives that a batch shares.")] = None,
    pool_by: Annotated[str | None, _training("How they are drawn: uniform or popularity.")] = None,
    optimizer: Annotated[
        str | None, _training("adam, or adagrad with less state where neighbours are sampled.")
    ] = None,
) -> None:
    """Train a model on a graph folder and write a run folder."""
    options = {name: value for name, value in ctx.params.items() if name not in OWN and value not in (None, [], ())}
    options |= given_settings(ctx)
    for name in LISTS & options.keys():
        options[name] = tuple(o.split_names(options[name], f"--{name.replace('_', '-')}"))
    if "warm_start" in options:
        options["warm_start"] = str(options["warm_start"].resolve())
    if "fanout" in options:
        options["fanout"] = o.fanout_of(options["fanout"])
    wish = Wish({} if config is None else read_file(config), options, minutes, tune)
    if resume:
        _resume(out, graph, config, wish)
    elif graph is None:
        raise UsageError("no graph folder to train on", f"graphrec train GRAPH --out {out}")
    else:
        _start(out, graph, wish)


def _start(out: Path, graph: Path, wish: Wish) -> None:
    """Begin a run."""
    asked = wish.config()

    from graphrec.data import Dataset
    from graphrec.graph import relations_of
    from graphrec.runs import check_free, start_of, start_run, writing
    from graphrec.training import check_sampling, checked_device

    if asked is not None:
        checked_device(asked.device)
    dataset = Dataset.load(graph)
    config, choice = wish.settled(asked, dataset)
    check_sampling(config, relations_of(dataset))  # what cannot be is refused before anything is written
    for view, why in config.left_out.items():
        say(f"{view} is left out: {why}")
    start_of(config)
    check_free(out)
    with writing(out):
        start_run(out, dataset, config, begun=wish.begun(), choice=choice)
        _fit(out, dataset, config)


def _resume(out: Path, graph: Path | None, file: Path | None, wish: Wish) -> None:
    """Go on with a run, which stays what it was begun as."""
    from graphrec.data import Dataset
    from graphrec.runs import read_begun, read_unfinished, writing

    dataset, config = read_unfinished(out)
    begun = read_begun(out)
    differing = wish.differences(begun or {}) if begun or wish.begun() else _differences(config, file, wish.options)
    if differing:
        raise CombinationError(
            f"the run in {out} was begun with other options: {'; '.join(differing)}",
            "go on without them, or begin another run in another folder",
        )
    if graph is not None and Dataset.load(graph).fingerprint() != dataset.fingerprint():
        raise CombinationError(f"the run in {out} was begun on other data than {graph}", "go on without naming a graph")
    with writing(out):
        _go_on(out, dataset, config)


def _go_on(out: Path, dataset: Dataset, config: RunConfig) -> None:
    """Do what is left of a run: training, its report alone, or nothing."""
    from graphrec.runs import REPORT, is_finished

    if not is_finished(out):
        _fit(out, dataset, config)
        return
    say(f"the run in {out} is finished; there is nothing to go on with")
    if not (out / REPORT).exists():
        _report(out)


def _differences(config: RunConfig, file: Path | None, options: Mapping[str, Any]) -> list[str]:
    """The fields in which a run's configuration differs from what is asked for now, each with both values."""
    from graphrec.config import override, read_config

    if options.get("model", config.model) != config.model:
        return [f"model is {config.model}, not {options['model']}"]
    begun = config.model_dump(mode="json")
    wanted = read_config(file, **options) if file else override(begun, **options)
    old, new = dict(flat(begun)), dict(flat(wanted.model_dump(mode="json")))
    return [
        f"{name} is {shown(old.get(name)) or 'absent'}, not {shown(new.get(name)) or 'absent'}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _fit(out: Path, dataset: Dataset, config: RunConfig) -> None:
    """Train to the end, say what came of it, and write the report."""
    say(f"training {config.model} on {dataset.num_users:,} users and {dataset.num_items:,} items")
    try:
        _summary(_trained(out, dataset, tuned(out, dataset, config)))
        _report(out)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; go on with: graphrec train --resume --out {out}") from None
    say_next(f"graphrec evaluate {out}")


def _report(out: Path) -> None:
    from graphrec.report import write_report

    say(f"the run is in {out}, its report in {write_report(out)}")


def _trained(out: Path, dataset: Dataset, config: RunConfig) -> Run:
    """Train from wherever the checkpoints are, and finish the run folder."""
    from graphrec.cli.progress import following
    from graphrec.runs import CHECKPOINTS, Run, finish_run, start_of
    from graphrec.training import fit_model

    start = start_of(config)
    with following() as follower, interruptible() as check:

        def on_epoch(epoch: Epoch) -> None:
            follower.epoch(epoch)
            check()

        def on_stride(stride: Stride) -> None:
            follower.stride(stride)
            check()

        told: Any = {"on_epoch": on_epoch, "on_stride": on_stride}
        fitted = fit_model(dataset, config, start=start, checkpoints=out / CHECKPOINTS, **told)
    run = Run.from_fitted(dataset, config, fitted)
    finish_run(out, run)
    return run


def say_known(run: Run) -> None:
    """Warn of rows that are held out and were trained on in the run that this one comes from."""
    known = {part: count for part, count in run.metrics["known_rows"].items() if count}
    if known:
        rows = " and ".join(f"{count:,} {part} rows" for part, count in known.items())
        say(f"careful: the earlier run was trained on {rows} of this one; what is measured on them is too good")


def _summary(run: Run) -> None:
    """What was chosen, how good it is on the select rows, and what the fusion decided."""
    say_known(run)
    for view, epoch in run.metrics["epochs"].items():
        say(f"{view}: epoch {epoch} was chosen")
    valid = run.metrics["valid"]
    if valid:
        say("on the select rows: " + ", ".join(f"{name} {valid[name]:.4f}" for name in ("recall@20", "ndcg@20")))
    if run.metrics["fusion"]:
        fusion = run.metrics["fusion"]
        say(f"fusion: {fusion['reason']}")
        if not fusion["chosen"] and len(fusion["enough"]) < len(fusion["views"]):
            say(f"fusion: {' and '.join(fusion['enough'])} alone would be within 0.5 % of that")
