"""The run folder: the only code that knows its layout. It is a graph folder (ids, tables) with a model beside it."""

from __future__ import annotations

from graphrec.runs.folder import (
    CHECKPOINTS,
    REPORT,
    check_free,
    environment,
    finish_run,
    is_finished,
    is_tuned,
    load_run,
    read_begun,
    read_unfinished,
    record_test,
    start_of,
    start_run,
    take_tuned,
    writing,
)
from graphrec.runs.run import Run, extend_run

__all__ = [
    "CHECKPOINTS",
    "REPORT",
    "Run",
    "check_free",
    "environment",
    "extend_run",
    "finish_run",
    "is_finished",
    "is_tuned",
    "load_run",
    "read_begun",
    "read_unfinished",
    "record_test",
    "start_of",
    "start_run",
    "take_tuned",
    "writing",
]
