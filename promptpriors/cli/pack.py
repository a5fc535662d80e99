"""The command `pack`: the runs of a folder in few files."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from promptpriors.cli.options import Json, print_json


def pack(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of run folders.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.runs.jsonl.gz", help="The file to write.")],
    vectors: Annotated[
        Literal["none", "final", "all"],
        typer.Option("--vectors", help="Vectors to keep: none, the last step's, or all."),
    ] = "final",
    precision: Annotated[
        Literal["float16", "float32"], typer.Option("--precision", help="Of the kept vectors.")
    ] = "float16",
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="nearest_tokens", help="What to leave out of results."),
    ] = None,
    leave_out_unfinished: Annotated[
        bool, typer.Option("--leave-out-unfinished", help="Pack the finished and failed runs only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Runs of a folder in few files, which every command reads like the folder.

    Studies, tables and stored figures are copied beside FILE. RUNS stays as it is.

    Example: promptpriors pack runs results/all.runs.jsonl.gz
    """
    from promptpriors.runs.pack import pack_runs

    done = pack_runs(
        runs,
        file,
        vectors=vectors,
        precision=precision,
        without=without or (),
        leave_out_unfinished=leave_out_unfinished,
    )
    if as_json:
        print_json(done._asdict() | {"files": [str(path) for path in done.files]})
        return
    if done.unfinished:
        sys.stderr.write(f"{len(done.unfinished)} unfinished runs are left out\n")
    sys.stderr.write(f"{done.runs} runs are packed; the folder {runs} is as it was\n")
    for path in done.files:
        sys.stdout.write(f"{path}\n")
