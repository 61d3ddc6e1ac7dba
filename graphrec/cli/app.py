"""The application: which commands there are, in the order of a first project."""

from __future__ import annotations

from typing import Annotated

import typer

from graphrec import __version__
from graphrec.cli.demo import demo
from graphrec.cli.doctor import bench, doctor
from graphrec.cli.errors import Guarded
from graphrec.cli.exporting import export
from graphrec.cli.extending import extend
from graphrec.cli.judging import evaluate
from graphrec.cli.recommending import explain, recommend, similar
from graphrec.cli.settings import Settled
from graphrec.cli.tables import build, check
from graphrec.cli.training import train

app = typer.Typer(
    help="Recommendations from a graph of users, items and knowledge: accurate, fast and explained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo,
    doctor,
    check,
    build,
    train,
    evaluate,
    recommend,
    similar,
    explain,
    extend,
    export,
    bench,
):
    app.command(cls=Settled if command is train else Guarded)(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="GRAPHREC_DEBUG", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of every command; ``Guarded`` reads ``debug`` from the context."""


def main() -> None:
    """The console script."""
    app(prog_name="graphrec")
