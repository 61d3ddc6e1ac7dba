"""What the commands print: words to stderr, tables for people and JSON for programs to stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import typer

GUIDED = ContextVar("GUIDED", default=False)  # whether a demo is running the command
WIDE = 240  # columns where stdout is no terminal, so that a pipe never gets an id cut short


def say(text: str) -> None:
    """A line of words."""
    typer.echo(text, err=True)


def say_next(command: str) -> None:
    """The command that most people want next; silent inside a demo, which knows better."""
    if not GUIDED.get():
        say(f"next: {command}")


def emit_json(value: Any) -> None:
    """A value for programs, as strict JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def emit_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table for people; numbers stand to the right, and nothing in a cell is taken for markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[shown(value) for value in row] for row in rows]
    numeric = [all(is_number(row[place]) for row in cells) for place in range(len(columns))]
    table = Table(
        title=Text(title, style="bold") if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDE, highlight=False).print(table)


def shown(value: Any) -> str:
    """A value as people read it.

    >>> shown(1234567), shown(0.123456), shown(1e-9), shown(None), shown("007"), shown(True)
    ('1,234,567', '0.1235', '1e-09', '', '007', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or 1e-2 <= abs(value) < 1e6 else f"{value:.3g}"
    return str(value)


def is_number(cell: str) -> bool:
    """Whether a shown cell is a number or empty.

    >>> is_number("1,234"), is_number(""), is_number("i9")
    (True, True, False)
    """
    try:
        float(cell.replace(",", "") or 0)
    except ValueError:
        return False
    return True


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """(path, value) of each leaf of nested mappings; lists become comma-separated text.

    >>> list(flat({"rows": {"fit": 3, "test": 1}, "kinds": ["a", "b"]}))
    [('rows · fit', 3), ('rows · test', 1), ('kinds', 'a, b')]
    """
    for key, value in values.items():
        name = f"{prefix} · {key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from flat(value, name)
        elif isinstance(value, list | tuple):
            yield name, ", ".join(shown(part) for part in value)
        else:
            yield name, value
