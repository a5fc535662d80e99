"""The command `figures`: the paper's figures from stored results."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Data, Json, Runs
from promptpriors.cli.output import print_json, progress_bar, remark, resumable, say, use_threads
from promptpriors.errors import InputError

LAST = 13
"""Number of the last figure."""


def figures(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[1 … 13]", help="Which; all without any.")
    ] = None,
    every: Annotated[
        Path | None,
        typer.Option("--all", metavar="CONFIG.toml", help="First make what they are drawn from."),
    ] = None,
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where they go; else RUNS/figures.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """The paper's figures 1 to 13 from stored results, as PNG and SVG beside their numbers.

    With --all, stores, runs and maps that are missing are made first; what is there is used again.

    Example: promptpriors figures --all configs/paper/figures.toml --data ../data --out figures
    """
    for number in numbers or ():
        if not 1 <= number <= LAST:
            raise InputError(f"there is no figure {number}; expected numbers from 1 to {LAST}")
    from promptpriors.figures.pictures import save
    from promptpriors.paper import FIGURES, produce, read_plan
    from promptpriors.paths import check_folder
    from promptpriors.running.workspace import Workspace
    from promptpriors.runs.pictures import PICTURES, check_figure, read_picture, write_numbers

    wanted = list(dict.fromkeys(numbers or FIGURES))
    stored, target = runs / PICTURES, out or runs / PICTURES
    check_folder(target, "give another by --out")
    for number in wanted:
        check_figure(target, number)
    if every is not None:
        plan = read_plan(every)
        use_threads(plan.device.threads)
        command = f"promptpriors figures --all {shlex.quote(str(every))}"
        workspace = Workspace(data)
        with progress_bar() as on_progress, resumable("the same command goes on"):
            for picture in produce(
                plan, wanted, runs, workspace, command=command, on_progress=on_progress
            ):
                remark(f"figure {picture.number}: {picture.title}")
    shown = []
    for number in wanted:
        picture = read_picture(stored, number)
        files = save(picture, target)
        write_numbers(target, picture)
        shown.append({"figure": number} | files._asdict())
        if not as_json:
            say(str(files.png))
    if as_json:
        print_json(shown)
