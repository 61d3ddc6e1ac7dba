"""The public face of a trained model: the caller's own ids in, the caller's own ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from graphrec.data import Dataset, Part
from graphrec.errors import ArrayError, CombinationError, SettingError, SplitError
from graphrec.evaluation import Evaluation, evaluate, pair_scores
from graphrec.explain import explain_pair
from graphrec.models import Model, VectorModel, views_of
from graphrec.ranking import rank
from graphrec.reasons import ExplainedPair, in_words
from graphrec.recommender.batch import Advance, Written, write_lists
from graphrec.recommender.export import export_vectors
from graphrec.recommender.ranker import Ranker
from graphrec.runs import Run, check_free, extend_run, finish_run, start_run, writing
from graphrec.sampling import Fanout
from graphrec.sparse import CSR
from graphrec.training import negatives_csr, part_csr


class Recommender:
    """Recommends, finds likeness and explains, in the caller's ids.

    Args:
        run: a finished run in memory; ``graphrec.train`` and ``graphrec.load`` make one.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._ranker = Ranker(run)

    @property
    def dataset(self) -> Dataset:
        return self.run.dataset

    @property
    def model(self) -> Model:
        return self.run.model

    def recommend(
        self,
        users: Sequence[str] | None = None,
        *,
        history: Sequence[str] | None = None,
        k: int = 10,
        filter_seen: bool = True,
        items: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The best items for known users, or for someone new from the items they used.

        Args:
            users: known user ids; None, with no history either, means every user.
            history: item ids of one person the model has never met, oldest first, instead of ``users``; most models do
                not read the order.
            k: items a user, >= 1; fewer rows come where fewer items can be ranked.
            filter_seen: leave out what the user has in the training rows (or the history).
            items: rank only these.
            exclude: never these.

        Returns:
            A row a recommendation: user_id (None for a history), item_id, score, rank from 1.

        Raises:
            UnknownIdError: a user or item the run does not know.
            UsageError: k < 1, or both users and history.
        """
        if k < 1:
            raise SettingError(f"k must be >= 1, got {k}")
        if users is not None and history is not None:
            raise CombinationError("give users or a history, not both")
        allowed, index, names = self._ranker.allowed(items, exclude), np.zeros(1, np.int32), np.array([None])
        if history is None:
            index = self._ranker.index(users)
            names = self.dataset.users.names(index)
        row = None if history is None else self._history(history)
        ranking = rank(
            self.model.score_block if row is None else lambda _: self.model.fold_in(row),
            torch.as_tensor(index, dtype=torch.int64, device=self.model.graph.device),
            k,
            num_items=self.dataset.num_items,
            seen=None if not filter_seen else self._ranker.train_rows if row is None else row,
            allowed=allowed,
        )
        return _table(ranking.items, ranking.scores, names, self.dataset.items.names, ("user_id", "item_id"))

    def recommend_to(
        self,
        path: str | PathLike[str],
        users: Sequence[str] | None = None,
        *,
        k: int = 10,
        filter_seen: bool = True,
        items: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        on_block: Callable[[Advance], None] = lambda advance: None,
    ) -> Written:
        """Write the best items of many users into a .parquet or .csv file, a block of users at a time.

        Finished blocks wait in a folder beside the file, ``top.parquet.parts``. A call that was stopped goes on from
        them when it is made again; after a call for something else it starts anew. At the end they become one file.

        Args:
            path: the file.
            users, k, filter_seen, items, exclude: as in ``recommend``.
            on_block: called at the start and after each block.

        Returns:
            Rows, lists, and how many lists are shorter than k.

        Raises:
            UnknownIdError: a user or item the run does not know.
            UsageError: k < 1, or a file of another kind.
            OutputError: a file cannot be written; what is finished stays.
        """
        index, allowed = self._ranker.index(users), self._ranker.allowed(items, exclude)
        return write_lists(self._ranker, Path(path), index, k, filter_seen, allowed, on_block)

    def export(
        self, folder: str | PathLike[str], format: str = "parquet", view: str | None = None, *, history: bool = True
    ) -> list[dict[str, Any]]:
        """Write the final vectors of users and items with their ids, for use elsewhere.

        The score of a view is the inner product; that of a fusion of several views is none.

        Args:
            folder: new or empty; where several views are written, each gets a folder of its own in it.
            format: ``parquet``; ``npy``; or ``faiss``, an index of the item vectors.
            view: one view of a fusion; all that have vectors if None.
            history: False leaves out the users: their ids, and their vectors, which tell what they used.

        Returns:
            What was written, a mapping a view, as it stands in each folder's ``vectors.json``.

        Raises:
            UsageError: the model has no vectors, or an unknown view or format.
            OccupiedError: the folder holds something.
            MissingExtraError: faiss is asked for and not installed.
        """
        return export_vectors(self.run, Path(folder), format, view, history)

    def score(self, users: Sequence[str], items: Sequence[str]) -> np.ndarray:
        """Scores of pairs: the n-th user with the n-th item, float32 [n].

        Raises:
            UnknownIdError: a user or item the run does not know.
            UsageError: the two differ in length.
        """
        if len(users) != len(items):
            raise ArrayError(f"users and items must pair up, got {len(users)} and {len(items)}")
        pairs = (self.dataset.users.index(users, "user"), self.dataset.items.index(items, "item"))
        user, item = (torch.as_tensor(one, dtype=torch.int64, device=self.model.graph.device) for one in pairs)
        return pair_scores(self.model.score_block, user, item, num_items=self.dataset.num_items).cpu().numpy()

    def similar_items(self, items: Sequence[str], k: int = 10) -> pd.DataFrame:
        """The items most like each given one: item_id, similar_id, score, rank.

        Raises:
            UnknownIdError: an item the run does not know.
            UsageError: k < 1, or the model knows no likeness.
        """
        index = self.dataset.items.index(items, "item")
        names = self.dataset.items.names(index)
        return self._similar(self.model.similarity_block, index, names, self.dataset.items.names, k, "item_id")

    def similar_users(self, users: Sequence[str], k: int = 10) -> pd.DataFrame:
        """The users most like each given one, by the cosine of their vectors: user_id, similar_id, score, rank.

        Raises:
            UnknownIdError: a user the run does not know.
            UsageError: k < 1, or no view of the model has user vectors.
        """
        views = [view for view in views_of(self.model).values() if isinstance(view, VectorModel)]
        if not views:
            raise CombinationError(f"model {self.model.name} has no user vectors", "train lightgcn, gat or fused")
        unit = torch.nn.functional.normalize(views[0].user_vectors(), dim=-1)
        index = self.dataset.users.index(users, "user")
        names = self.dataset.users.names(index)
        return self._similar(lambda block: unit[block] @ unit.T, index, names, self.dataset.users.names, k, "user_id")

    def explain(self, user: str, item: str, count: int = 5) -> ExplainedPair:
        """Why this user gets this item.

        Args:
            user, item: ids; the item may be any of the catalogue.
            count: paths to show, at most.

        Raises:
            UnknownIdError: a user or item the run does not know.
        """
        user_index = int(self.dataset.users.index([user], "user")[0])
        item_index = int(self.dataset.items.index([item], "item")[0])
        found = explain_pair(self.model, user_index, item_index, count=count)
        return in_words(self.dataset, user, item, self.dataset.item_title(item_index) or item, found)

    def extend(self, data: Dataset, fanout: Fanout | None = None) -> Recommender:
        """The same model on newer data, without training.

        Learned vectors stay. Users, items and entities that are new start at zero and get vectors from what they are
        joined to; new interactions and facts take effect for everyone they touch.

        Args:
            data: ids that are known are known by their text; parts and knowledge are used as in training.
            fanout: None computes everybody's vectors anew, over all edges; else those of nodes that are new or have
                other edges alone, from samples of so many neighbours.

        Raises:
            DataError: a view of the model cannot carry the newer data (no timestamps, say).
            UsageError: a fan-out that does not fit the model.
        """
        return Recommender(extend_run(self.run, data, fanout))

    def evaluate(self, ks: tuple[int, ...] = (10, 20)) -> Evaluation:
        """Full ranking on the test rows: all items, train rows masked; and AUC where there are pairs of label 0.

        Raises:
            DataError: there are no test rows.
        """
        test = part_csr(self.dataset, Part.TEST, self.model.graph.device)
        if test.num_edges == 0:
            raise SplitError("this dataset has no test rows", "build it with --split last, random or time, or --test")
        negatives = negatives_csr(self.dataset, Part.TEST, test.device)
        train = self._ranker.train_rows
        return evaluate(self.model.score_block, train=train, test=test, ks=ks, negatives=negatives)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write a run folder.

        Raises:
            OccupiedError, BusyError: the folder already holds something, or another process writes it.
            OutputError: it cannot be written.
        """
        check_free(Path(folder))
        with writing(Path(folder)):
            start_run(Path(folder), self.dataset, self.run.config)
            finish_run(Path(folder), self.run)

    def _similar(
        self,
        similarity: Callable[[Tensor], Tensor],
        index: np.ndarray,
        names: np.ndarray,
        names_of: Callable[[np.ndarray], np.ndarray],
        k: int,
        column: str,
    ) -> pd.DataFrame:
        if k < 1:
            raise SettingError(f"k must be >= 1, got {k}")
        numbers = torch.as_tensor(index, dtype=torch.int64, device=self.model.graph.device)
        total = similarity(numbers[:1]).shape[1] if len(numbers) else 0
        itself = CSR.from_pairs(torch.arange(total), torch.arange(total), total, total).to(numbers.device)
        ranking = rank(similarity, numbers, k, num_items=total, seen=itself)
        return _table(ranking.items, ranking.scores, names, names_of, (column, "similar_id"))

    def _history(self, history: Sequence[str]) -> CSR:
        """One person's items with the place of each in the order given, the last one of an item that comes twice."""
        given = self.dataset.items.index(history, "item")
        index, place = np.unique(given[::-1], return_index=True)
        value = len(given) - 1 - place
        one = CSR.from_pairs(np.zeros_like(index), index, 1, self.dataset.num_items, value=value)
        return one.to(self.model.graph.device)


def _table(
    index: Tensor,
    scores: Tensor,
    names: np.ndarray,
    names_of: Callable[[np.ndarray], np.ndarray],
    columns: tuple[str, str],
) -> pd.DataFrame:
    """Ranked numbers [n, k] as a table, a row a pair; places that could not be filled (-1) are left out."""
    filled = (index >= 0).cpu().numpy()
    row, place = np.nonzero(filled)
    return pd.DataFrame(
        {
            columns[0]: names[row],
            columns[1]: names_of(index.cpu().numpy()[filled]),
            "score": scores.cpu().numpy()[filled],
            "rank": (place + 1).astype(np.int32),
        }
    )
