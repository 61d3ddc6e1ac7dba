"""Checks of what people get: lists in their own ids, explanations, metrics."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from graphrec.data import Part
from graphrec.errors import SettingError, UnknownIdError, UsageError
from graphrec.ranking import rank
from graphrec.testing.subject import NotApplicable, Subject, check, close, require, scores_of, train_rows

COLUMNS = ["user_id", "item_id", "score", "rank"]


@check
def the_form_of_a_list(subject: Subject) -> None:
    """A list has ranks from 1, scores that do not rise, and each item once."""
    table = subject.recommender.recommend(k=7)
    require(table.columns.tolist() == COLUMNS, f"its columns are {table.columns.tolist()}")
    for user, rows in table.groupby("user_id"):
        require(rows["rank"].tolist() == list(range(1, len(rows) + 1)), f"ranks of {user}: {rows['rank'].tolist()}")
        require(not bool((rows["score"].diff() > 0).any()), f"scores of {user} rise")
        require(rows["item_id"].is_unique, f"{user} gets an item twice")


@check
def what_was_seen_is_left_out(subject: Subject) -> None:
    """Nobody is recommended what they have used in train, and all the rest can be."""
    seen = train_rows(subject.data, Part.FIT, Part.SELECT, Part.BLEND)
    table = subject.recommender.recommend(k=subject.data.num_items)
    user, item = subject.data.users.index(table["user_id"]), subject.data.items.index(table["item_id"], "item")
    pairs = torch.zeros(subject.data.num_users, subject.data.num_items, dtype=torch.bool)
    pairs[user, item] = True
    used = torch.zeros_like(pairs)
    used[seen.row_index(), seen.col.long()] = True
    require(torch.equal(pairs, ~used), "lists and train rows do not make up the catalogue")


@check
def nothing_is_left_out_unless_asked(subject: Subject) -> None:
    """With ``filter_seen=False`` a list of the catalogue's length holds all of it."""
    table = subject.recommender.recommend(k=subject.data.num_items, filter_seen=False)
    require(len(table) == subject.data.num_users * subject.data.num_items, f"{len(table)} rows")


@check
def the_length_of_a_list(subject: Subject) -> None:
    """k may be 1, the whole catalogue and beyond it; 0 is refused."""
    user = [subject.world.user_ids[0]]
    recommend, total = subject.recommender.recommend, subject.data.num_items
    require(len(recommend(user, k=1)) == 1, "k = 1 gives another number of rows")
    whole = recommend(user, k=total, filter_seen=False)
    require(len(whole) == total, f"k = {total} gives {len(whole)} rows")
    require(recommend(user, k=10 * total, filter_seen=False).equals(whole), "beyond the catalogue the list is another")
    try:
        recommend(user, k=0)
    except SettingError:
        return
    raise AssertionError("k = 0 is taken")


@check
def a_short_list_begins_a_long_one(subject: Subject) -> None:
    """The best k are the first k of the best k + n."""
    long = subject.recommender.recommend(k=9)
    short = subject.recommender.recommend(k=4)
    require(long[long["rank"] <= 4]["item_id"].tolist() == short["item_id"].tolist(), "they are not")


@check
def lists_show_the_scores(subject: Subject) -> None:
    """The scores in a list are those that ``score`` gives its pairs."""
    table = subject.recommender.recommend(k=5)
    found = subject.recommender.score(table["user_id"].tolist(), table["item_id"].tolist())
    close(table["score"].to_numpy(), found, "list and score")


@check
def the_best_come_first(subject: Subject) -> None:
    """No item that a list leaves out has a higher score than one that it holds."""
    table = subject.recommender.recommend(k=5, filter_seen=False)
    worst = torch.tensor(table.groupby("user_id", sort=False)["score"].min().to_numpy())
    fifth = scores_of(subject.recommender).cpu().topk(5, dim=1).values[:, -1]
    close(worst, fifth, "the fifth best")


@check
def scores_below_zero_rank_alike(subject: Subject) -> None:
    """Where all scores are negative the ranking stays what it is."""
    scores = scores_of(subject.recommender).double()
    below = scores - scores.max() - 1
    lists = [
        rank(table.__getitem__, subject.everyone, 8, num_items=subject.data.num_items).items
        for table in (scores, below)
    ]
    close(scores.gather(1, lists[1]), scores.gather(1, lists[0]), "below zero")


@check
def the_order_of_those_asked_for(subject: Subject) -> None:
    """Lists come in the order of the users asked for, each as if asked for alone."""
    names = list(subject.world.user_ids[4::-2])
    table = subject.recommender.recommend(names, k=3)
    require(table["user_id"].drop_duplicates().tolist() == names, "users come in another order")
    for name in names:
        alone = subject.recommender.recommend([name], k=3)
        close(table.loc[table["user_id"] == name, "score"].to_numpy(), alone["score"].to_numpy(), f"{name} alone")


@check
def nobody_asked_for(subject: Subject) -> None:
    """No users give a table of no rows with the same columns."""
    table = subject.recommender.recommend([])
    require(len(table) == 0 and table.columns.tolist() == COLUMNS, f"got {len(table)} rows of {table.columns.tolist()}")


@check
def some_items_alone(subject: Subject) -> None:
    """``items`` and ``exclude`` say what may be ranked."""
    names = list(subject.world.item_ids[:6])
    only = subject.recommender.recommend(k=10, items=names, filter_seen=False)
    require(set(only["item_id"]) == set(names), "items= does not hold")
    others = subject.recommender.recommend(k=subject.data.num_items, exclude=names, filter_seen=False)
    require(set(others["item_id"]).isdisjoint(names), "exclude= does not hold")


@check
def unknown_ids(subject: Subject) -> None:
    """Ids that nobody knows are refused by name."""
    known, unknown = subject.world.user_ids[0], "nobody-7"
    calls = (
        lambda: subject.recommender.recommend([unknown]),
        lambda: subject.recommender.recommend(history=[unknown]),
        lambda: subject.recommender.recommend([known], items=[unknown]),
        lambda: subject.recommender.score([known], [unknown]),
        lambda: subject.recommender.explain(known, unknown),
    )
    for call in calls:
        try:
            call()
        except UnknownIdError as error:
            require(unknown in error.message, "the message does not name the id")
        else:
            raise AssertionError("an unknown id is taken")


@check
def a_list_for_a_newcomer(subject: Subject) -> None:
    """Someone the model has never met gets a list without what they used; k of it where they used nothing."""
    used = list(subject.world.item_ids[:3])
    table = subject.recommender.recommend(history=used, k=subject.data.num_items)
    require(len(table) == subject.data.num_items - len(used), f"{len(table)} rows")
    require(set(table["item_id"]).isdisjoint(used), "what they used is in it")
    require(len(subject.recommender.recommend(history=[], k=5)) == 5, "who used nothing gets another number of rows")


@check
def lists_in_a_file(subject: Subject) -> None:
    """Lists for everybody in a file are those that ``recommend`` gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "top.parquet"
        subject.recommender.recommend_to(path, k=6)
        written = pd.read_parquet(path)
    expected = subject.recommender.recommend(k=6)
    require(written["user_id"].tolist() == expected["user_id"].tolist(), "other users, or other numbers of rows")
    close(written["score"].to_numpy(np.float32), expected["score"].to_numpy(np.float32), "in a file")


@check
def like_items(subject: Subject) -> None:
    """An item is not among the items like it, and nothing is there twice."""
    item = subject.world.item_ids[0]
    try:
        table = subject.recommender.similar_items([item], k=subject.data.num_items)
    except UsageError:
        raise NotApplicable("it knows no likeness of items") from None
    require(item not in set(table["similar_id"]), "it is among them")
    require(table["similar_id"].is_unique and not bool((table["score"].diff() > 0).any()), "they are not ranked")


@check
def explanations(subject: Subject) -> None:
    """An explanation has the score that the list has, and the parts of its views add up to it."""
    row = subject.recommender.recommend([subject.world.user_ids[1]], k=1).iloc[0]
    found = subject.recommender.explain(row["user_id"], row["item_id"])
    close(found.score, float(row["score"]), "the score")
    close(sum(found.views.values()), float(row["score"]), "the sum over views")


@check
def metrics(subject: Subject) -> None:
    """Judged on the test rows, every metric that is a share lies between 0 and 1."""
    require(bool((subject.data.interactions.part == Part.TEST).any()), "the shop has no test rows")
    found = subject.recommender.evaluate().metrics
    shares = {name: value for name, value in found.items() if name.startswith(("recall", "precision", "ndcg", "hit"))}
    require(bool(shares) and all(0 <= value <= 1 for value in shares.values()), f"got {shares}")
