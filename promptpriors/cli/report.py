"""The command `report`: one page about a folder of runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Json, print_json


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run folders.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="The page to write.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One self-contained page about the runs of a folder; opens offline.

    Example: promptpriors report runs --out report.html
    """
    from promptpriors.report import write_report

    page = write_report(folder, out)
    if as_json:
        print_json({"report": str(page)})
    else:
        sys.stdout.write(f"{page}\n")
