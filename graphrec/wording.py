"""Measured numbers as they are said to people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time span in the unit that suits it.

    >>> duration(0.23), duration(42), duration(250), duration(8000)
    ('0.2 s', '42 s', '4 min', '2.2 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
