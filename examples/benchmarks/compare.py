"""All views on public sets, each with as many settings tried, three seeds, and paired tests of what attention is worth.

    python examples/benchmarks/compare.py DATA --out FOLDER
    python examples/benchmarks/compare.py DATA --out FOLDER --sets lastfm-kgcn --views lightgcn gat --trials 4
    python examples/benchmarks/compare.py DATA --out FOLDER --settings docs/benchmarks/compare
    python examples/benchmarks/compare.py DATA --out FOLDER --tables

DATA holds a folder for each set of compare.toml. Of each view in views.toml, as many settings are drawn as --trials
says, or all where there are fewer; each is trained on the fit rows and stopped and judged on the select rows, and the
one with the best recall@20 is chosen. How much more newer items count is chosen once a set on its select rows, for all
views that can let them (``graphrec.training.choose_recency``). With each seed it is stopped on the select rows once
more, trained anew on all train rows for the epochs that it took, and judged on the test rows, ranking all items: over
all test pairs, over those whose item has fewer than 5 train rows ("rare"), and over those whose item has none ("new").
A view that trains nothing is the same with every seed and is judged once. A fusion has nothing to draw: its views have
the settings that were chosen for them, and its weights are fitted on the blend rows, once a seed; beside what it
chooses to use, its weights by attention and its constant weights are judged. A view with minutes is what graphrec
chooses for so long, with no setting given; only on an idle machine does it tell what the machine can do.

With --settings nothing is tried: the settings are those that the folder's SET.json says were chosen.
Each trial and each judging is written down when it is done, so a stopped call goes on; what other settings gave is made
anew. A view's training is kept, and a fusion takes it over. --tables prints what there is. Every reading of test rows
is a line of test_reads.jsonl, which names the groups judged on them at once.
The tests at the end are paired t-tests over users of recall@20, averaged over the seeds; all p-values together, over
all sets, are corrected by Holm's method. Tables go to stdout, as Markdown; --out has what they are made of, SET.json,
which is enough for --tables.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from compare_fits import Set, finish, finish_fusion, finish_timed, fit
from compare_tables import report
from search_space import Options, View, once, read_toml, read_views


class OutOfTime(Exception):
    """A trial has taken as long as it may."""


@dataclass(frozen=True)
class Trials:
    """How much is tried.

    Args:
        count: settings of a view; cap: seconds of training of one.
        seeds: of the final trainings.
        settings: a folder that tells what was chosen before, if nothing is to be tried.
    """

    count: int
    cap: float
    seeds: list[int]
    settings: Path | None = None


def try_settings(here: Set, view: View, options: Options, cap: float) -> Options:
    """What a setting reaches on the select rows; one that takes longer than ``cap`` seconds reaches nothing."""
    begun = time.monotonic()

    def check_time(_: object) -> None:
        if time.monotonic() - begun > cap:
            raise OutOfTime

    config = view.config(here.data, options, here.shared, seed=here.seed)
    try:
        fitted = fit(here, config, on_epoch=check_time, on_stride=check_time)
    except OutOfTime:
        return {"recall@20": None, "why": f"not trained within {cap:g} s"}
    reached = {"recall@20": fitted.valid["recall@20"], "seconds": round(time.monotonic() - begun, 1)}
    return {"epochs": fitted.epochs.get(view.model, 0)} | reached


def choose(here: Set, view: View, trials: Trials) -> Options | None:
    """The trial that was best on the select rows; None if none was finished, or none is told of."""
    if trials.settings is not None:
        told = json.loads((trials.settings / f"{here.name}.json").read_text(encoding="utf-8"))
        trial = next(iter(told["views"].get(view.name, [])), None)
        return trial and trial | {"options": view.options | trial["options"], "training": here.shared}
    done = []
    for number, options in enumerate(view.draw(trials.count, here.seed)):
        file = here.folder / view.name / f"trial-{number:02}.json"
        told = {"options": options, "training": here.shared}
        done.append(once(file, told, lambda own=options: try_settings(here, view, own, trials.cap)))
    finished = [trial for trial in done if trial["recall@20"] is not None]
    return max(finished, key=lambda trial: trial["recall@20"], default=None)


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
        if view.is_fusion:
            for seed in trials.seeds:
                if view.minutes:
                    finish_timed(here, view, seed)
                else:
                    finish_fusion(here, view, members(view, views, chosen), seed)
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
    parser.add_argument("--settings", type=Path, metavar="FOLDER", help="try nothing, take what its SET.json tells")
    parser.add_argument("--tables", action="store_true", help="run nothing, print what is there")
    return parser.parse_args()


def main() -> None:
    """Run each set and print the tables."""
    recipe = read_toml("compare.toml")
    options = parse(list(recipe["sets"]))
    trials = Trials(options.trials, options.cap, options.seeds, options.settings)
    views = read_views(options.views)
    untold = [name for name in options.sets if options.settings and not (options.settings / f"{name}.json").exists()]
    if untold:
        raise SystemExit(f"{options.settings} tells nothing of {', '.join(untold)}; name others with --sets")
    for name in options.sets if not options.tables else ():
        own = recipe["sets"][name]
        run(Set(name, own, recipe["seed"], options.data / name, options.out / name), views, trials)
    print(report(options.out, options.sets, options.seeds, recipe["tests"]))


if __name__ == "__main__":
    main()
