"""Commands that read: ask, report, compare, list."""

import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Data, Json, Runs, data_folder, print_json, print_table
from promptpriors.errors import InputError


def ask(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, id, or its start.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A question; none: stdin, or a dialogue.")
    ] = None,
    runs: Runs = Path("runs"),
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 32,
    device: Annotated[str | None, typer.Option(help="Where to run; else as the run did.")] = None,
    as_json: Json = False,
) -> None:
    """Answer with a trained prompt, and without it beside.

    The text becomes "Question: TEXT" and "Answer:" on two lines, as in the tasks; a text that ends
    in a colon is taken as it is. With --json, questions from stdin give one list.

    Example: promptpriors ask 3f2a "What is 17 + 25?"
    """
    from promptpriors.cli.tune import use_threads
    from promptpriors.experiments.ask import Answers, open_run

    use_threads(None)
    answer = open_run(name, runs, max_new_tokens, device)

    def show(found: Answers) -> dict[str, str]:
        if not as_json:
            sys.stdout.write(f"with the prompt:    {found.with_prompt}\n")
            sys.stdout.write(f"without the prompt: {found.without_prompt}\n")
            sys.stdout.flush()
        return found._asdict()

    if text is not None:
        shown = show(answer(text))
        if as_json:
            print_json(shown)
        return
    if sys.stdin is None:
        raise InputError("there is no text to answer: give TEXT, or questions on stdin")
    lines: Iterable[str] = sys.stdin
    if sys.stdin.isatty():
        sys.stderr.write("one question a line, an empty line ends\n")
        lines = takewhile(str.strip, sys.stdin)
    try:
        several = [show(answer(line.strip())) for line in lines if line.strip()]
    except UnicodeDecodeError:
        raise InputError("the questions on stdin are not UTF-8 text") from None
    if not several:
        raise InputError("there is no text to answer: give TEXT, or questions on stdin")
    if as_json:
        print_json(several)


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


def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run folders.")],
    use: Annotated[
        int,
        typer.Option(
            "--use", min=0, metavar="EXAMPLES", help="Also measure what each vector does (minutes)."
        ),
    ] = 0,
    bridge: Annotated[
        int,
        typer.Option(
            "--bridge",
            min=0,
            metavar="DOCUMENTS",
            help="Also measure whether prompts bring C4 closer to their task.",
        ),
    ] = 0,
    analysis: Annotated[
        Path | None,
        typer.Option("--analysis", metavar="FILE.toml", help="Judge claims by this plan."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Prior against posterior, and prior against prior, with intervals and tests.

    Writes DIR/compare.json, which the report shows, and a CSV of each table in DIR/compare; with a
    plan DIR/claims.json as well.

    Example: promptpriors compare runs
    """
    from promptpriors.cli.progress import progress_bar
    from promptpriors.cli.tune import use_threads
    from promptpriors.experiments import Session
    from promptpriors.experiments.compare import compare as compared
    from promptpriors.experiments.compare import write_tables
    from promptpriors.experiments.reproduction import (
        claims_table,
        judge_claims,
        read_analysis,
        write_claims,
    )

    use_threads(None)
    plan = None if analysis is None else read_analysis(analysis)
    with progress_bar() as watch:
        tables = compared(folder, Session(data_folder(data)), watch, use=use, bridge=bridge)
    if plan is not None:
        claims = judge_claims(plan, folder)
        write_claims(claims, folder)
        tables = [*tables, claims_table(claims)]
    write_tables(tables, folder)
    if as_json:
        print_json({"tables": [table._asdict() for table in tables]})
        return
    for table in tables:
        sys.stdout.write(f"\n{table.title}\n{table.note}\n\n")
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        print_table(rows, table.columns)


def list_(
    kind: Annotated[str, typer.Argument(metavar="priors|tasks|models|modes|regularisers|runs")],
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """What there is, from the tables that the code uses.

    Example: promptpriors list priors
    """
    from promptpriors.errors import unknown
    from promptpriors.experiments.inventory import INVENTORY

    if kind not in INVENTORY:
        raise unknown("kind", kind, INVENTORY)
    rows = INVENTORY[kind](runs)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows, list(rows[0]))
    else:
        sys.stderr.write(f"there are no {kind} in {runs}\n")
