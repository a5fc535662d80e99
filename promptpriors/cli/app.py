"""The table of commands."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from promptpriors import __version__
from promptpriors.cli.ask import ask
from promptpriors.cli.bench import bench
from promptpriors.cli.capture import capture
from promptpriors.cli.compare import compare
from promptpriors.cli.doctor import doctor
from promptpriors.cli.export import export, pack, report
from promptpriors.cli.figures import figures
from promptpriors.cli.list import list_
from promptpriors.cli.run import demo, run
from promptpriors.cli.study import study

app = typer.Typer(
    name="promptpriors",
    help="Choose the prior of a tuned prompt, train it on a frozen model, see where it went.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"promptpriors {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = None,
) -> None:
    """Options before the command."""


COMMANDS: tuple[Callable[..., Any], ...] = (
    *(demo, run, study, capture, ask, figures, report),
    *(compare, export, pack, list_, doctor, bench),
)
for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)
