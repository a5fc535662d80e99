"""Options shared by commands."""

from pathlib import Path
from typing import Annotated

import typer

from promptpriors.errors import InputError
from promptpriors.paths import check_file


def _existing(data: Path | None) -> Path | None:
    if data is not None and not data.is_dir():
        raise InputError(f"the data folder {data} does not exist (--data, PROMPTPRIORS_DATA)")
    return data


def check_runs(runs: Path) -> Path:
    """The path of a folder of runs that is there.

    Raises:
        InputError: if it is not.
    """
    if not runs.exists():
        raise InputError(f"{runs}: no such folder; runs are written by `promptpriors run`")
    return runs


# what is not there is said before torch is imported, which takes seconds
Config = Annotated[
    Path, typer.Argument(metavar="CONFIG.toml", callback=check_file, help="The run's config.")
]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", callback=check_runs, help="Folder of run folders.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Values to override, such as train.lr=1e-3."),
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of run folders.", metavar="DIR")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="PROMPTPRIORS_DATA",
        callback=_existing,
        help="Folder with squad/, c4/, gsm8k/.",
        metavar="DIR",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="ID|FOLDER", help="Where the runs' model is now."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
