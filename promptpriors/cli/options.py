"""Options shared by commands, and printed results."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from promptpriors.errors import InputError

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
        help="Folder with squad/, c4/, gsm8k/.",
        metavar="DIR",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


WIDE = 1000
"""Columns of a table that is not shown in a terminal: nothing is cut."""


def data_folder(data: Path | None) -> Path | None:
    """The data folder, if one is named.

    Raises:
        InputError: if it does not exist.
    """
    if data is not None and not data.is_dir():
        raise InputError(f"the data folder {data} does not exist (--data, PROMPTPRIORS_DATA)")
    return data


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    from promptpriors.files import finite

    sys.stdout.write(json.dumps(finite(value), indent=2, ensure_ascii=False, default=str) + "\n")


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print a plain table as wide as the terminal allows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in {"id", "name"}, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def resumable(how: str = "the same command goes on from the last evaluation") -> Iterator[None]:
    """End an interrupted command with a word on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; {how}\n")
        raise typer.Exit(130) from None


def use_threads(threads: int | None, processes: int = 1) -> None:
    """Set torch's threads for this process."""
    import os

    import torch

    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // processes))


def summary(result: dict) -> str:
    """A line about a finished run."""
    names = ("val_loss_initial", "val_loss", "val_loss_none")
    start, end, none = ("–" if result[n] is None else f"{result[n]:.3f}" for n in names)
    parts = [f"validation loss {start} → {end} nats per token (without a prompt {none})"]
    for key in ("f1", "exact_match"):
        if key in result["scores"]:
            before, after = result["scores_initial"][key], result["scores"][key]
            parts.append(f"{key.replace('_', ' ')} {before:.1%} → {after:.1%}")
    return ", ".join(parts)
