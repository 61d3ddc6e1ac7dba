"""How a command ends: one line for people, an exit status for programs, a traceback only for who asks for it."""

from __future__ import annotations

import traceback
from typing import Any

import typer
from typer.core import TyperCommand

from graphrec.errors import GraphrecError

INTERRUPTED = 130  # what shells use for a process ended by Ctrl-C


class Interrupted(GraphrecError):
    """Ctrl-C, where there is something to say about how to go on."""

    code = "interrupted"
    exit_status = INTERRUPTED


class Guarded(TyperCommand):
    """A command whose errors become a message and an exit status: 1 the data or the run, 2 the call, 130 Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except GraphrecError as error:
            _fail(ctx, error.message, error.hint, error.exit_status)
        except KeyboardInterrupt:
            _fail(ctx, "stopped", "", INTERRUPTED)
        except Exception as error:
            message = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
            _fail(ctx, message, f"see where with: graphrec --debug {ctx.info_name} …", 1)


def _fail(ctx: Any, message: str, hint: str, status: int) -> None:
    """Say what went wrong and leave."""
    if ctx.find_root().params.get("debug"):
        typer.echo(traceback.format_exc(), err=True, nl=False)
    typer.echo(f"graphrec: {message}", err=True)
    if hint:
        typer.echo(hint, err=True)
    raise typer.Exit(status)
