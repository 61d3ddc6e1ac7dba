"""Folders in the forms the field passes around, recognised by their files.

Those of whole numbers (``numbered``) have forms of their own. All others are tables under known names: ``unfold`` says
which, and they are read as tables are.
"""

from __future__ import annotations

from pathlib import Path

from graphrec.data.formats.named import unfold
from graphrec.data.formats.numbered import LISTS, PAIRS, read_lists_folder, read_pairs_folder
from graphrec.data.formats.rows import Described, Folder, InteractionRows, KnowledgeRows
from graphrec.errors import SourceError
from graphrec.files import unchanged

__all__ = ["Described", "Folder", "InteractionRows", "KnowledgeRows", "is_numbered", "read_folder", "unfold"]


def is_numbered(path: Path) -> bool:
    """Whether this is a folder that ``read_folder`` reads, or a graph folder, which it refuses."""
    return any((path / name).is_file() for name in (*LISTS, PAIRS, "dataset.json"))


def read_folder(path: Path) -> Folder:
    """Recognise a folder by its files and read it.

    Raises:
        DataError: the folder is of no known form, or a file in it is not as its form asks.
    """
    files = sorted(path.iterdir())
    names = [other.name for other in files]
    with unchanged(*files):
        if any((path / name).is_file() for name in LISTS):
            return read_lists_folder(path)
        if (path / PAIRS).is_file():
            return read_pairs_folder(path)
    if "dataset.json" in names:
        raise SourceError(
            f"{path}: is a graph folder, built already", "train on it, or build from the tables themselves"
        )
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "") if names else "nothing"
    hint = (
        "known folders hold train.txt, sequence.txt, ratings_final.txt, NAME.inter or ratings.dat; otherwise name the "
        "interactions file itself"
    )
    raise SourceError(f"{path}: not a known data folder; it holds {shown}", hint)
