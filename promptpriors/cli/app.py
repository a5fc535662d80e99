"""The table of commands."""

from typing import Annotated

import typer

from promptpriors import __version__
from promptpriors.cli import (
    ask,
    bench,
    capture,
    compare,
    demo,
    doctor,
    export,
    figures,
    pack,
    report,
    run,
    study,
)
from promptpriors.cli import (
    list as listing,
)

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


app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("study")(study.study)
app.command("capture")(capture.capture)
app.command("ask")(ask.ask)
app.command("figures")(figures.figures)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("pack")(pack.pack)
app.command("list")(listing.list_)
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)
