"""How much memory there is, was asked for, and is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from graphrec.errors import SettingError

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
LEAST = 10**6  # less is a slip of the pen
MOST = 2**60
# A container's limit, what it uses, and what of that is page cache, which the system would give up: cgroup 2 and 1.
CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", r"^(?:in)?active_file (\d+)"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        r"^total_(?:in)?active_file (\d+)",
    ),
)


def parse_memory(size: str | int) -> int:
    """Bytes of a size.

    Args:
        size: a number with a unit, or bytes, also as text.

    Raises:
        UsageError: neither, or less than any process needs.

    >>> parse_memory("500MB"), parse_memory("1.5 GiB"), parse_memory("4000000000"), parse_memory(10**9)
    (500000000, 1610612736, 4000000000, 1000000000)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)?\s*", str(size), re.IGNORECASE | re.ASCII)
    amount = float(found[1]) * (UNITS[found[2].upper()] if found[2] else 1) if found else size
    rule = "memory must be a size such as 500MB, 4GB or 4GiB"
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise SettingError(f"{rule}, got {size!r}")
    if not LEAST <= amount <= MOST:  # which is so of NaN, too
        raise SettingError(f"{rule}, at least {shown_size(LEAST)} and at most {shown_size(MOST)}, got {size!r}")
    return int(amount)


def available_memory() -> int:
    """Bytes that may still be used: of the machine, or of the container where that is less."""
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():  # counts what the system would give up, too
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        free = [int(found[1]) * 1024] if found else free
    free.extend(_free_in_container())
    return max(0, min(free))


def shown_size(size: float) -> str:
    """A size for people.

    >>> shown_size(2_340_000_000), shown_size(512_000_000), shown_size(1200)
    ('2.3GB', '512MB', '1KB')
    """
    for unit, digits in (("TB", 1), ("GB", 1), ("MB", 0)):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.{digits}f}{unit}"
    return f"{size / 1000:.0f}KB"


def _free_in_container() -> list[int]:
    """Bytes to each limit of the container, beside what it uses already."""
    free = []
    for limit, used, details, cache in _CGROUP_FILES:
        if (most := _read(limit)).isdigit():
            now = int(_read(used) or 0)
            given_up = sum(int(size) for size in re.findall(cache, _read(details), re.MULTILINE))
            free.append(int(most) - max(0, now - given_up))
    return free


def _read(name: str) -> str:
    try:
        return (CGROUPS / name).read_text().strip()
    except OSError:
        return ""
