"""The table of commands."""

from typing import Annotated

import typer

from promptpriors import __version__
from promptpriors.cli import bench, draw, hand, look, read, study, tune

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


app.command("demo")(tune.demo)
app.command("run")(tune.run)
app.command("study")(study.study)
app.command("capture")(read.capture)
app.command("ask")(look.ask)
app.command("figures")(draw.figures)
app.command("report")(look.report)
app.command("compare")(look.compare)
app.command("export")(hand.export)
app.command("list")(look.list_)
app.command("doctor")(tune.doctor)
app.command("bench")(bench.bench)
