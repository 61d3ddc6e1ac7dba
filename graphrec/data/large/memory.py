"""How much memory there is, was asked for, and is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from graphrec.errors import UsageError

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def parse_memory(size: str | int) -> int:
    """Bytes of a size.

    Args:
        size: a number with a unit, or bytes.

    Raises:
        UsageError: neither.

    >>> parse_memory("500MB"), parse_memory("1.5 GiB"), parse_memory(10**9)
    (500000000, 1610612736, 1000000000)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", str(size), re.IGNORECASE)
    amount = float(found[1]) * UNITS[found[2].upper()] if found else size
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount <= 0:
        raise UsageError(f"memory must be a size such as 500MB, 4GB or 4GiB, got {size!r}")
    return int(amount)


def available_memory() -> int:
    """Bytes that may still be used: of the machine, or of the container where that is less."""
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():  # counts what the system would give up, too
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        free = [int(found[1]) * 1024] if found else free
    free.extend(int(text) for path in _LIMITS if (text := _read(path)).isdigit())
    return min(free)


def shown_size(size: float) -> str:
    """A size for people.

    >>> shown_size(2_340_000_000), shown_size(512_000_000), shown_size(1200)
    ('2.3GB', '512MB', '1KB')
    """
    for unit, digits in (("TB", 1), ("GB", 1), ("MB", 0)):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.{digits}f}{unit}"
    return f"{size / 1000:.0f}KB"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
