"""The command line: ``graphrec COMMAND``. Data goes to stdout, words to stderr."""

from __future__ import annotations

from graphrec.cli.app import app, main

__all__ = ["app", "main"]
