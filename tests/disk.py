"""A disk that is full when a test wants it to be."""

from __future__ import annotations

import errno
import os


class Disk:
    """Full at one flush of a file or a folder: where the system tells of a full disk at the latest."""

    def __init__(self) -> None:
        self.flushes, self.full_at = 0, 0

    def fsync(self, descriptor: int) -> None:
        self.flushes += 1
        if self.flushes == self.full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(self, flush: int) -> None:
        self.flushes, self.full_at = 0, flush
