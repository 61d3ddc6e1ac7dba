"""How a command ends: one line for people, an exit status for programs, a traceback only for who asks for it."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand

from graphrec.errors import GraphrecError, Interrupted


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Yield a check that raises once Ctrl-C was pressed.

    Ctrl-C raises at once too. But where that happens inside code that lets no exception out (a destructor, a compiler's
    clean-up), it is lost; the next check makes up for it.
    """
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


class Guarded(TyperCommand):
    """A command whose errors become a message and an exit status: 1 the data or the run, 2 the call, 130 Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except GraphrecError as error:
            _fail(ctx, error)
        except KeyboardInterrupt:
            _fail(ctx, Interrupted("stopped"))
        except Exception as error:
            message = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
            _fail(ctx, GraphrecError(message, f"see where with: graphrec --debug {ctx.info_name} …"))


def _fail(ctx: Any, error: GraphrecError) -> None:
    """Say what went wrong and leave."""
    if ctx.find_root().params.get("debug"):
        typer.echo(traceback.format_exc(), err=True, nl=False)
    typer.echo(f"graphrec: {error}", err=True)
    raise typer.Exit(error.exit_status)
