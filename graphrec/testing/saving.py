"""Checks of what is written and read again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from graphrec.recommender import Recommender, load
from graphrec.testing.subject import Subject, check, close, equal, histories, require, scores_of, state_of


@contextmanager
def _saved(recommender: Recommender) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        recommender.save(Path(folder) / "run")
        yield Path(folder) / "run"


def _model_files(run: Path) -> dict[str, bytes]:
    files = sorted(path for path in (run / "model").rglob("*") if path.is_file())
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}


@check
def a_loaded_run_is_the_run(subject: Subject) -> None:
    """A run that is saved and loaded gives the same lists and the same scores, to the last bit."""
    with _saved(subject.recommender) as folder:
        loaded = load(folder)
        equal(scores_of(loaded), scores_of(subject.recommender), "scores differ")
        require(loaded.recommend(k=5).equals(subject.recommender.recommend(k=5)), "lists differ")
        require(state_of(loaded.model) == state_of(subject.model), "the state differs")


@check
def a_loaded_run_takes_newcomers(subject: Subject) -> None:
    """A loaded run scores people it has never met as the run did."""
    used = histories(subject, [0, 3], [5])
    with _saved(subject.recommender) as folder:
        close(load(folder).model.fold_in(used), subject.model.fold_in(used), "scores of newcomers")


@check
def a_loaded_run_explains(subject: Subject) -> None:
    """A loaded run gives the reasons that the run gave."""
    pair = (subject.world.user_ids[2], subject.world.item_ids[4])
    with _saved(subject.recommender) as folder:
        ours, theirs = subject.recommender.explain(*pair), load(folder).explain(*pair)
    require([reason.text for reason in ours.reasons] == [reason.text for reason in theirs.reasons], "reasons differ")
    close(torch.tensor(theirs.score), torch.tensor(ours.score), "the score")


@check
def saved_twice(subject: Subject) -> None:
    """A run is saved to the same bytes each time, and loaded and saved again to the same bytes."""
    with _saved(subject.recommender) as first, _saved(subject.recommender) as second:
        files = _model_files(first)
        require(files == _model_files(second), "the second time other bytes are written")
        with _saved(load(first)) as third:
            require(files == _model_files(third), "loaded and saved again, other bytes are written")


@check
def saving_changes_nothing(subject: Subject) -> None:
    """Saving leaves the model as it is."""
    before, scores = state_of(subject.model), scores_of(subject.recommender)
    with _saved(subject.recommender):
        require(state_of(subject.model) == before, "the state is another")
        equal(scores_of(subject.recommender), scores, "the scores are others")


@check
def the_same_data_extended(subject: Subject) -> None:
    """Put on the data it was trained on, a model keeps its scores."""
    close(scores_of(subject.recommender.extend(subject.data)), scores_of(subject.recommender), "extended")
