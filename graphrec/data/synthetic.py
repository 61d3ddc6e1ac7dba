"""A small bookshop with planted taste: who reads what follows from genre, author, series and themes.

Most books have few readers, so reading histories alone say little about them, while the knowledge graph says what they
have in common. ``python -m graphrec.data.synthetic OUT --seed 7`` writes its four tables.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from graphrec.data.dataset import Dataset
from graphrec.data.ids import IdMap
from graphrec.data.split import Part
from graphrec.errors import SettingError
from graphrec.files import atomic_path


def _words(text: str) -> list[str]:
    """The words of a comma-separated text."""
    return " ".join(text.split()).split(", ")


FIRST_NAMES = _words("""
    alice, bob, carol, dave, erin, frank, grace, heidi, ivan, judy, karim, lena, mallory, nina, oscar, peggy, quinn,
    rupert, sybil, trent, uma, victor, wendy, xavier, yara, zoe, amir, bella, chen, dina, emil, fatma, goran, hana,
    igor, jana, kofi, luisa, marco, nadia""")
GENRES = _words("""
    crime, space opera, romance, ghost stories, travel, cookery, poetry, memoir, history, nature writing, fantasy,
    thriller, satire, popular science""")
THEMES = _words("""
    lost letters, islands, sisters, winter, revolution, the sea, gardens, machines, old houses, trains, exile, music,
    wolves, chess, famine, first love, maps, detectives, bees, mountains, courtrooms, circuses, dreams, the desert,
    libraries, rivers, schooldays, painters, shipwrecks, the moon, inheritance, markets, storms, twins, silence, horses,
    lighthouses, spies, orchards, clockwork""")
GIVEN = _words("""
    Ada, Boris, Clara, Dmitri, Elsa, Felix, Greta, Hugo, Ines, Jonas, Kira, Leo, Mira, Nils, Olga, Pavel, Rosa, Sven,
    Tilda, Umar""")
FAMILY = _words("""
    Ashby, Brandt, Castell, Dorsey, Eklund, Farrow, Galanis, Hartog, Ibsley, Janssen, Kovac, Lindqvist, Marlowe,
    Noor""")
PUBLISHERS = _words("""
    Anchor Yard, Bluebell, Copperplate, Driftwood, Eastgate, Fennel & Co, Gull House, Half Moon""")
ADJECTIVES = _words("""
    Silent, Crooked, Golden, Last, Hidden, Burning, Distant, Paper, Hollow, Winter, Borrowed, Second, Glass, Quiet,
    Salt""")
NOUNS = _words("""
    Harbour, Orchard, Clock, Bridge, Letter, Garden, River, Lantern, Stair, Mirror, Kingdom, Witness, Compass, Feast,
    Shore""")
COLOURS = _words("red, blue, green, black, white, yellow")
TOWNS = _words("Leiden, Porto, Turin, Ghent, Krakow, Malmo, Bristol, Lyon")
RELATIONS = ("genre", "author", "series", "theme", "publisher", "cover_colour")
WEIGHTS = {"genre": 2.0, "author": 2.0, "series": 1.0, "theme": 2.0}  # of each attribute in a reader's taste
POPULARITY, WHIM = 0.5, 0.5  # weight of a book's fame, and of what no attribute explains
MEAN_ROWS, FEWEST_ROWS, MOST_ROWS = 18, 8, 45


@dataclass(frozen=True, eq=False)
class World:
    """The tables of a generated shop, and the truth behind them.

    Args:
        interactions: user_id, item_id, timestamp.
        knowledge: head, relation, tail.
        items: item_id, title, year.
        users: user_id, town.
        user_ids, item_ids: names of the rows and columns of ``preference``.
        preference: float64 [users, items], the utility that readers choose by.
    """

    interactions: pd.DataFrame
    knowledge: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    preference: np.ndarray

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write interactions.csv, knowledge.csv, items.csv and users.csv."""
        for name in ("interactions", "knowledge", "items", "users"):
            with atomic_path(Path(folder) / f"{name}.csv") as temporary:
                getattr(self, name).to_csv(temporary, index=False, lineterminator="\n")


def generate(seed: int = 7, num_users: int = 700, num_items: int = 800) -> World:
    """Make a shop. The same arguments always give the same tables.

    Args:
        seed: of every choice.
        num_users, num_items: sizes, at least 20 each.

    >>> world = generate(seed=7, num_users=40, num_items=60)
    >>> world.user_ids[0], world.preference.shape, list(world.interactions.columns)
    ('alice', (40, 60), ['user_id', 'item_id', 'timestamp'])
    """
    if min(num_users, num_items) < 20:
        raise SettingError(f"num_users and num_items must be >= 20, got {num_users} and {num_items}")
    generator = np.random.default_rng(seed)
    labels, traits = _books(num_items, generator)
    preference = _preference(num_users, traits, generator)
    user, item, timestamp = _choices(preference, generator)
    user_ids = np.array([_user_id(number) for number in range(num_users)])
    item_ids = np.array([f"i{number}" for number in range(1, num_items + 1)])
    read_by_alice = set(item[user == 0].tolist())
    favourite = next(book for book in np.argsort(-preference[0]).tolist() if book not in read_by_alice)
    item_ids[[favourite, 8]] = item_ids[[8, favourite]]  # what alice would love and has not read is i9
    interactions = pd.DataFrame({"user_id": user_ids[user], "item_id": item_ids[item], "timestamp": timestamp})
    years = generator.integers(1950, 2024, num_items)
    items = pd.DataFrame({"item_id": item_ids, "title": _titles(num_items, generator), "year": years})
    return World(
        interactions.sort_values(["timestamp", "user_id", "item_id"], ignore_index=True),
        _triples(item_ids, labels, traits),
        items,
        pd.DataFrame({"user_id": user_ids, "town": generator.choice(TOWNS, num_users)}),
        tuple(user_ids.tolist()),
        tuple(item_ids.tolist()),
        preference,
    )


def oracle_recall(world: World, dataset: Dataset, k: int = 20) -> float:
    """Recall@k on the test rows of a ranking by true preference, train rows masked: what no model can be far above.

    Args:
        world: as generated.
        dataset: read from the world's tables, under any split.
        k: length of the list.
    """
    scores = world.preference[np.ix_(_order(world.user_ids, dataset.users), _order(world.item_ids, dataset.items))]
    scores[dataset.interactions.select(Part.FIT, Part.SELECT, Part.BLEND)] = -np.inf
    relevant = np.zeros(scores.shape, dtype=bool)
    relevant[dataset.interactions.select(Part.TEST)] = True
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    judged = relevant.any(axis=1)
    hits = np.take_along_axis(relevant, top, axis=1).sum(axis=1)
    return float((hits[judged] / relevant[judged].sum(axis=1)).mean())


def _order(names: tuple[str, ...], ids: IdMap) -> np.ndarray:
    """Where in ``names`` each id stands, in index order."""
    place = {name: position for position, name in enumerate(names)}
    return np.array([place[name] for name in ids.names(np.arange(len(ids)))])


def _user_id(number: int) -> str:
    """The names in turn: alice, bob and so on, then alice2, bob2."""
    lap, place = divmod(number, len(FIRST_NAMES))
    return FIRST_NAMES[place] + (str(lap + 1) if lap else "")


def _books(count: int, generator: np.random.Generator) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Names of the values of each attribute, and bool [books, values] of which book has which."""
    num_authors, num_series = min(count // 7 + 1, len(GIVEN) * len(FAMILY)), count // 8 + 1
    pairs = generator.permutation(len(GIVEN) * len(FAMILY))[:num_authors]
    authors = [f"{GIVEN[pair % len(GIVEN)]} {FAMILY[pair // len(GIVEN)]}" for pair in pairs.tolist()]
    author = generator.integers(0, num_authors, count)
    home = generator.integers(0, len(GENRES), num_authors)  # four books in five keep to their author's genre
    genre = np.where(generator.random(count) < 0.8, home[author], generator.integers(0, len(GENRES), count))
    series_author = generator.integers(0, num_authors, num_series)
    in_series = (author[:, None] == series_author) & (generator.random((count, num_series)) < 0.6)
    in_series &= np.cumsum(in_series, axis=1) == 1
    habit = generator.random((num_authors, len(THEMES))).argsort(axis=1)[:, :4]  # themes an author returns to
    theme = np.zeros((count, len(THEMES)), dtype=bool)
    theme[np.arange(count), habit[author, generator.integers(0, 4, count)]] = True
    theme[np.arange(count), generator.integers(0, len(THEMES), count)] = True
    traits = {
        "genre": np.eye(len(GENRES), dtype=bool)[genre],
        "author": np.eye(num_authors, dtype=bool)[author],
        "series": in_series,
        "theme": theme,
        "publisher": np.eye(len(PUBLISHERS), dtype=bool)[generator.integers(0, len(PUBLISHERS), num_authors)[author]],
        "cover_colour": np.eye(len(COLOURS), dtype=bool)[generator.integers(0, len(COLOURS), count)],
    }
    number = np.cumsum(np.eye(num_authors, dtype=int)[series_author], axis=0)[np.arange(num_series), series_author]
    series = [f"{authors[owner]}, series {n}" for owner, n in zip(series_author.tolist(), number.tolist(), strict=True)]
    labels = {"genre": GENRES, "author": authors, "series": series, "theme": THEMES}
    return labels | {"publisher": PUBLISHERS, "cover_colour": [f"{colour} cover" for colour in COLOURS]}, traits


def _preference(num_users: int, traits: dict[str, np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """Utility of each book to each reader: liked attributes, fame, and a whim."""
    num_items = len(traits["genre"])
    utility = POPULARITY * generator.standard_normal(num_items) + WHIM * generator.standard_normal(
        (num_users, num_items)
    )
    liked_genre = _liked(num_users, traits["genre"].shape[1], 2, generator)
    author_genre = traits["author"].T.astype(float) @ traits["genre"]  # readers meet authors through genres they like
    reach = liked_genre @ author_genre.T + 0.3
    liked = {
        "genre": liked_genre,
        "author": (np.log(generator.random(reach.shape)) / reach).argsort(axis=1).argsort(axis=1) >= reach.shape[1] - 5,
        "series": _liked(num_users, traits["series"].shape[1], traits["series"].shape[1] // 5, generator),
        "theme": _liked(num_users, traits["theme"].shape[1], 5, generator),
    }
    for name, weight in WEIGHTS.items():
        utility += weight * (liked[name].astype(float) @ traits[name].T)
    return utility


def _liked(num_users: int, count: int, each: int, generator: np.random.Generator) -> np.ndarray:
    """Bool [users, values], True for ``each`` random values of a user."""
    return generator.random((num_users, count)).argsort(axis=1).argsort(axis=1) < each


def _choices(preference: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who read what and when: without replacement, with odds exp(utility), in random order."""
    num_users, num_items = preference.shape
    rows = np.clip(generator.poisson(generator.gamma(6.0, MEAN_ROWS / 6.0, num_users)), FEWEST_ROWS, MOST_ROWS)
    rows = np.minimum(rows, num_items // 3)
    order = np.argsort(-(preference + generator.gumbel(size=preference.shape)), axis=1)
    user = np.repeat(np.arange(num_users), rows)
    item = np.concatenate([order[reader, :count] for reader, count in enumerate(rows.tolist())])
    start, span = 1_640_995_200, 2 * 365 * 86_400  # two years from January 2022
    return user, item, start + generator.integers(0, span, len(user))


def _triples(item_ids: np.ndarray, labels: dict[str, list[str]], traits: dict[str, np.ndarray]) -> pd.DataFrame:
    """(book, relation, value) for every trait."""
    parts = []
    for relation in RELATIONS:
        book, value = np.nonzero(traits[relation])
        tails = np.array(labels[relation], dtype=object)[value]
        parts.append(pd.DataFrame({"head": item_ids[book], "relation": relation, "tail": tails}))
    return pd.concat(parts, ignore_index=True)


def _titles(count: int, generator: np.random.Generator) -> list[str]:
    """Distinct titles; a number tells later uses of the same words apart."""
    base = [f"The {adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
    base += [f"{noun} of {theme.removeprefix('the ').title()}" for noun in NOUNS for theme in THEMES]
    order = generator.permutation(len(base))
    return [base[order[n % len(base)]] + (f" {n // len(base) + 1}" if n >= len(base) else "") for n in range(count)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a generated shop into a folder."""
    parser = argparse.ArgumentParser(prog="python -m graphrec.data.synthetic", description=main.__doc__)
    parser.add_argument("out", metavar="OUT", help="folder for the four CSV files")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    generate(options.seed).save(options.out)


if __name__ == "__main__":
    main()
