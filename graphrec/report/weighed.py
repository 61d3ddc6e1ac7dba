"""What the report says of a fusion's views: which one speaks for whom.

S views, n places in the lists, R and C groups of people and of items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from graphrec.models import Fused
from graphrec.recommender import Recommender
from graphrec.report import page, plots
from graphrec.report.page import Html, Number
from graphrec.sampling import generator_for

USERS_SAMPLED = 500
LISTED = 20
GROUPS = 4
TITLE = "Which view speaks for whom"
MEANING = (
    "A view adds a part to the score of an item, above 0 for the item or below 0 against it. Its share is the size of "
    "its part over the sizes of all views' parts, so it holds attention, scale and how far the view's own score is "
    "from its mean. Shown are means over the places in the lists."
)
CONSTANT = "The weights are the same for every pair: shares differ only as far as the views' own scores do."


@dataclass(frozen=True, eq=False)
class Voices:
    """The views' parts in places of some lists.

    Args:
        parts: a_s γ_s z̃_s, float32 [S, n].
        user_degree, item_degree: items the person has used in training, and people the item has there, int64 [n].
    """

    parts: np.ndarray
    user_degree: np.ndarray
    item_degree: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """|part| over the sum of all views' |part|, [S, n].

        >>> Voices(np.array([[3.0], [-1.0]]), np.array([2]), np.array([5])).shares.tolist()
        [[0.75], [0.25]]
        """
        sizes = np.abs(self.parts)
        return sizes / sizes.sum(axis=0)


def views_section(recommender: Recommender) -> Html | None:
    """Each view's mean share of the score by how much the person and the item are used; None for a single model."""
    model = recommender.model
    if not isinstance(model, Fused):
        return None
    if len(model.views) == 1:
        return page.section(
            TITLE, page.tag("p", f"{model.settings.views[0]} is the only view and speaks for everyone.")
        )
    voices = hear(recommender, model)
    if not voices.parts.size:
        return page.section(TITLE, page.tag("p", "No view tells any item of the lists from another."))
    shown = _shown(voices, model.settings.views)
    if model.chosen is not None:
        words = f"{model.chosen} is used alone and speaks for everyone. The other views are heard nowhere."
        aside = page.tag("summary", "What the fusion that was not used would have made of the same lists")
        return page.section(TITLE, page.tag("p", words), page.tag("details", aside, *shown))
    constant = [] if model.attention.any() else [page.tag("p", CONSTANT)]
    return page.section(TITLE, *constant, *shown)


def hear(recommender: Recommender, model: Fused) -> Voices:
    """The views' parts in the top 20 of up to 500 random users, by the fusion's weights even where one view is used.

    Places in which every part is 0 are left out.
    """
    dataset = recommender.dataset
    drawn = torch.randperm(dataset.num_users, generator=generator_for(recommender.run.config.seed))[:USERS_SAMPLED]
    listed = recommender.recommend(dataset.users.names(drawn.sort().values.numpy()).tolist(), k=LISTED)
    user, item = dataset.users.index(listed["user_id"]), dataset.items.index(listed["item_id"], "item")
    parts = np.empty((len(model.views), len(listed)), np.float32)
    for one in np.unique(user):
        own = user == one
        items = torch.as_tensor(item[own], dtype=torch.int64, device=model.graph.device)
        parts[:, own] = model.weighed_parts(int(one), items).cpu().numpy()
    heard = parts.any(axis=0)
    seen = model.graph.seen.to("cpu")
    user_degree, item_degree = seen.degree.numpy()[user], seen.transpose[0].degree.numpy()[item]
    return Voices(parts[:, heard], user_degree[heard], item_degree[heard])


def degree_groups(degree: np.ndarray, count: int = GROUPS) -> tuple[list[str], np.ndarray]:
    """At most ``count`` groups of about equal size; equal degrees stay together.

    Args:
        degree: int64 [n], n ≥ 1.
        count: of groups.

    Returns:
        The range of each group, and the group of each entry, int64 [n].

    >>> degree_groups(np.array([7, 1, 1, 2, 3, 9]), 3)
    (['1', '2–3', '7–9'], array([2, 0, 0, 1, 1, 2]))
    """
    ends = np.ceil(len(degree) * np.arange(1, count + 1) / count).astype(np.int64) - 1
    group = np.searchsorted(np.unique(np.sort(degree)[ends]), degree)
    ranges = [(degree[group == place].min(), degree[group == place].max()) for place in range(group.max() + 1)]
    return [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in ranges], group


def group_means(shares: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Means of shares [S, n] by group, [S, R + 1, C + 1]; the last row and column are over all, NaN where nobody is.

    >>> group_means(np.array([[0.2, 0.4]]), np.array([0, 0]), np.array([0, 1])).round(3).tolist()
    [[[0.2, 0.4, 0.3], [0.2, 0.4, 0.3]]]
    """
    rows, columns = (
        [*(group == place for place in range(group.max() + 1)), np.ones(len(group), dtype=bool)]
        for group in (row, column)
    )
    means = np.full((len(shares), len(rows), len(columns)), np.nan)
    for place in np.ndindex(len(rows), len(columns)):
        inside = rows[place[0]] & columns[place[1]]
        if inside.any():
            means[:, *place] = shares[:, inside].mean(axis=1)
    return means


def _shown(voices: Voices, views: tuple[str, ...]) -> list[Html]:
    people, person = degree_groups(voices.user_degree)
    items, item = degree_groups(voices.item_degree)
    means = group_means(voices.shares, person, item)
    rows, columns = [*people, "all"], [*items, "all"]
    words = " ".join(
        (
            _in_words(views, "For people with {} items", people, means[:, :-1, -1]),
            _in_words(views, "On items of {} people", items, means[:, -1, :-1]),
        )
    )
    source = plots.heat_maps(
        dict(zip(views, means, strict=True)),
        rows,
        columns,
        x_label="people who have used the item",
        y_label="items the person has used",
    )
    told = "; ".join(f"{view} {share:.0%}" for view, share in zip(views, means[:, -1, -1], strict=True))
    caption = (
        "Share of each view in per cent, by how many items the person and how many people the item has in training."
    )
    alt = f"Share of each view by the person's and the item's degree. {words} Over all: {told}."
    cells = [
        (
            f"{rows[row]} / {columns[column]}",
            *(None if np.isnan(share) else _percent(share) for share in means[:, row, column]),
        )
        for row, column in np.ndindex(len(rows), len(columns))
    ]
    listed = page.table("Mean share by group", ["items of the person / people of the item", *views], cells)
    return [
        page.tag("p", page.tag("strong", words), " ", MEANING),
        page.figure(source, alt, caption),
        _overall(voices, views),
        page.tag("details", page.tag("summary", "The picture as a table"), listed),
    ]


def _overall(voices: Voices, views: tuple[str, ...]) -> Html:
    shares = voices.shares
    loudest = shares.argmax(axis=0)
    rows = [
        (view, *map(_percent, (share.mean(), (loudest == place).mean(), (parts < 0).mean())))
        for place, (view, share, parts) in enumerate(zip(views, shares, voices.parts, strict=True))
    ]
    caption = f"Over {shares.shape[1]:,} places in the lists"
    return page.table(caption, ["view", "mean share", "loudest in", "speaks against in"], rows)


def _in_words(views: tuple[str, ...], whom: str, groups: list[str], shares: np.ndarray) -> str:
    """Who is loudest in the first and in the last group; shares [S, groups].

    >>> _in_words(("knn", "gat"), "For people with {} items", ["1–5", "6–90"], np.array([[0.7, 0.4], [0.3, 0.6]]))
    'For people with 1–5 items knn speaks loudest (70 %), for people with 6–90 items gat (60 %).'
    """
    first, last = shares.argmax(axis=0)[[0, -1]]
    words = f"{whom.format(groups[0])} {views[first]} speaks loudest ({_percent(shares[first, 0])})"
    if len(groups) > 1:
        other = "too" if first == last else views[last]
        words += f", {whom[0].lower()}{whom[1:].format(groups[-1])} {other} ({_percent(shares[last, -1])})"
    return f"{words}."


def _percent(share: float) -> Number:
    return Number(f"{100 * share:.0f} %")
