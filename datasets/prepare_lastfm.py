"""Turn the trust links of the Last.FM social set into a knowledge table: python datasets/prepare_lastfm.py SRC DEST.

SRC holds ``trustnetwork.txt`` with lines ``user<TAB>user``; DEST gets ``knowledge.csv``. The interactions need no
preparation: ``data1.txt`` and ``test1.txt`` are read as they are, with their columns named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from graphrec.files import atomic_path


def main() -> None:
    """Write DEST/knowledge.csv."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("src", type=Path, metavar="SRC", help="folder with trustnetwork.txt")
    parser.add_argument("dest", type=Path, metavar="DEST", help="folder for knowledge.csv")
    options = parser.parse_args()
    links = pd.read_csv(options.src / "trustnetwork.txt", sep="\t", names=["head", "tail"], dtype=str, na_filter=False)
    links = links.assign(relation="trusts", head_type="user", tail_type="user")
    with atomic_path(options.dest / "knowledge.csv") as temporary:
        columns = ["head", "relation", "tail", "head_type", "tail_type"]
        links.to_csv(temporary, columns=columns, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
