"""The options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphrec.errors import ConfigError, SettingError


def _table(help_text: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="FILE", help=help_text, rich_help_panel="Tables")


def _vectors(help_text: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="NAME=FILE", help=help_text, rich_help_panel="Tables")


def _reading(metavar: str, help_text: str) -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=help_text, rich_help_panel="Reading")


Interactions = Annotated[
    Path,
    typer.Argument(
        metavar="INTERACTIONS",
        help="CSV, TSV or Parquet with user_id and item_id; a folder or pattern of such files; or a known folder.",
    ),
]
Knowledge = Annotated[Path | None, _table("Triples: head, relation, tail.")]
Items = Annotated[Path | None, _table("Items: item_id, title and other attributes.")]
Users = Annotated[Path | None, _table("Users: user_id, title and other attributes.")]
ItemVectors = Annotated[
    list[str] | None, _vectors("Vectors of items, image=image.parquet say: .parquet with ids, or .npy; repeatable.")
]
UserVectors = Annotated[list[str] | None, _vectors("The same of users.")]
TextModel = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="A sentence-transformers model to read titles and other text, in place of TF-IDF.",
        rich_help_panel="Tables",
    ),
]
Test = Annotated[Path | None, _table("Interactions that are held out as they are.")]
Split = Annotated[
    str | None,
    _reading(
        "given|last|time|random",
        "How test rows are chosen; by default given where there are some, else last where there are timestamps, "
        "else random.",
    ),
]
SplitSeed = Annotated[int | None, _reading("N", "Of the split; 0 unless given.")]
MinRating = Annotated[float | None, _reading("X", "Rows rated lower are no interactions.")]
Column = Annotated[
    list[str] | None, _reading("NAME=THEIRS", "Your column's name for one of ours, user_id=customer say; repeatable.")
]
Header = Annotated[str | None, _reading("A,B,C", "Column names of interactions files without a header row.")]
Delimiter = Annotated[str | None, _reading("TEXT", "Of all text tables, ';' or '::' say; tab or \\\\t for a tab.")]
Encoding = Annotated[str | None, _reading("NAME", "Of all text tables, latin-1 or utf-16 say; UTF-8 unless given.")]
Memory = Annotated[
    str | None,
    _reading("SIZE", "What the process may use, 4GB say; the interactions then pass through the disk."),
]
OnBadRow = Annotated[str | None, _reading("stop|skip", "Stop at the first bad row, or leave bad rows out and say so.")]

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that graphrec train made.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Count = Annotated[int, typer.Option("--k", "-k", metavar="N", help="Length of the list.")]


def split_names(text: str, option: str) -> list[str]:
    """The parts of comma-separated names.

    >>> split_names("i3, i9", "--history")
    ['i3', 'i9']
    """
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise SettingError(f"{option} must be names joined by commas, got {text!r}")
    return names


def read_lines(path: Path, option: str) -> list[str]:
    """The ids in a text file, one a line; blank lines are left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{option}: cannot read {path}: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def fanout_of(texts: list[str]) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    """A fan-out as the configuration takes it.

    >>> fanout_of(["15,10"])
    (15, 10)
    >>> fanout_of(["interacts=15,10", "knowledge=5,all"])
    {'interacts': (15, 10), 'knowledge': (5, -1)}
    """
    words = [word for text in texts for word in text.split()]
    named = [word.rpartition("=") for word in words]
    if len(words) == 1 and not named[0][0]:
        return _counts(words[0])
    if len({kind for kind, _, _ in named} - {""}) < len(words):
        raise SettingError(
            f"--fanout must be numbers, or a kind of edge and numbers for each kind, got {' '.join(words)}",
            "for example: --fanout 15,10, or --fanout interacts=15,10 --fanout knowledge=5,5",
        )
    return {kind: _counts(numbers) for kind, _, numbers in named}


def _counts(text: str) -> tuple[int, ...]:
    numbers = ["-1" if name == "all" else name for name in split_names(text, "--fanout")]
    if not all(number.removeprefix("-").isdecimal() for number in numbers):
        raise SettingError(f"--fanout must be whole numbers joined by commas, or all, got {text!r}")
    return tuple(map(int, numbers))
