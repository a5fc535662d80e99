"""Options shared by commands."""

from pathlib import Path
from typing import Annotated

import typer

from promptpriors.errors import InputError


def _existing(data: Path | None) -> Path | None:
    if data is not None and not data.is_dir():
        raise InputError(f"the data folder {data} does not exist (--data, PROMPTPRIORS_DATA)")
    return data


Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The run's config.")]
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
