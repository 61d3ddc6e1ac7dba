"""Tables larger than memory: parts in, a graph folder out, in memory that grows with the nodes alone."""

from __future__ import annotations

from graphrec.data.large.choice import is_large
from graphrec.data.large.estimate import Estimate
from graphrec.data.large.ingest import ingest
from graphrec.data.large.listener import Listener, Progress
from graphrec.data.large.memory import parse_memory
from graphrec.data.large.store import WORK, discard_work

__all__ = ["WORK", "Estimate", "Listener", "Progress", "discard_work", "ingest", "is_large", "parse_memory"]
