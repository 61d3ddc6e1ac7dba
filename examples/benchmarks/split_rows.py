"""Are the test rows of a published split a draw of each user's rows? And does the order of a line mean anything?

    python examples/benchmarks/split_rows.py path/to/gowalla path/to/yelp2018

A folder holds ``train.txt`` and ``test.txt`` with lines ``user item item …``. If each user's test rows are drawn from
all of the user's rows alike, then an item's test rows are about as many as its users' shares of test rows add up to:
of items with 50 rows or more, the squared distance from that, over its variance, is 1 in the mean. The same is told of
rows that are drawn so, with a seed. An item's place is where it stands in the lines of ``train.txt``, from 0 to 1, in
the mean over its users; if the order of lines means nothing, it says nothing of the share of its rows that are test
rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from graphrec.data.integers import read_lists

FEWEST = 50  # rows of an item that is looked at
FIFTHS = 5


def rows_of(folder: Path) -> pd.DataFrame:
    """All rows: user, item, whether it is a test row, and its place in its line, from 0 to 1."""
    parts = []
    for name in ("train", "test"):
        user, item, _ = read_lists(folder / f"{name}.txt")
        parts.append(pd.DataFrame({"user": user, "item": item, "test": name == "test"}))
        of_user = parts[-1].groupby("user")["item"]
        parts[-1]["place"] = (of_user.cumcount() + 0.5) / of_user.transform("size")
    return pd.concat(parts, ignore_index=True)


def unevenness(rows: pd.DataFrame) -> float:
    """The mean squared distance of items' test rows from what an even draw expects, over its variance."""
    share = rows.groupby("user")["test"].transform("mean")
    by_item = rows.assign(expected=share, variance=share * (1 - share)).groupby("item")
    total = by_item[["test", "expected", "variance"]].sum()[by_item.size() >= FEWEST]
    return float(((total["test"] - total["expected"]) ** 2 / total["variance"]).mean())


def redrawn(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many test rows of each user, drawn from all of the user's rows."""
    order = rows.iloc[np.random.default_rng(seed).permutation(len(rows))].reset_index(drop=True)
    number = order.groupby("user")["test"].transform("sum")
    return order.assign(test=order.groupby("user").cumcount() < number)


def by_place(rows: pd.DataFrame) -> pd.DataFrame:
    """Of items with enough rows: their mean place in lines of train, and the share of their rows that are test rows."""
    by_item = rows.groupby("item")
    items = pd.DataFrame(
        {"place": rows[~rows["test"]].groupby("item")["place"].mean(), "share": by_item["test"].mean()}
    )
    return items[by_item.size() >= FEWEST].dropna()


def told(folder: Path, seed: int) -> str:
    """What there is to say of a split, as Markdown."""
    rows = rows_of(folder)
    items = by_place(rows)
    train = rows[~rows["test"]]
    ascending = (train["item"].diff().fillna(1) > 0) | (train["user"].diff() != 0)
    fifths = items.groupby(pd.qcut(items["place"], FIFTHS, labels=False))["share"].mean()
    return " | ".join([
        f"| {folder.name}",
        f"{unevenness(rows):.2f}",
        f"{unevenness(redrawn(rows, seed)):.2f}",
        f"{ascending.groupby(train['user']).all().mean():.0%}",
        f"{items['place'].corr(items['share']):.2f}",
        f"{', '.join(f'{share:.3f}' for share in fifths)} |",
    ])  # fmt: skip


def main() -> None:
    """Print a row for each split."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn rows")
    options = parser.parse_args()
    print(
        "| split | unevenness | of an even draw | lines in item order | correlation of place and share "
        "| share, by fifths of place |"
    )
    print("|---|---:|---:|---:|---:|---|")
    for folder in options.folder:
        print(told(folder, options.seed))


if __name__ == "__main__":
    main()
