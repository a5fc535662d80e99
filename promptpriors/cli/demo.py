"""The command `demo`: the whole pipeline in minutes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Json, print_json, print_table, resumable, summary, use_threads
from promptpriors.cli.progress import progress_bar


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where it all goes.")] = Path(
        "demo"
    ),
    as_json: Json = False,
) -> None:
    """Real prompts from four priors on SmolLM2 and arithmetic, and a report, in minutes.

    A second start reuses finished runs.

    Example: promptpriors demo --out demo
    """
    from promptpriors.demo import plan, play
    from promptpriors.report import write_report

    use_threads(None)
    plan_ = plan(out)
    sys.stderr.write(plan_.announcement + "\n")
    rows = []
    with resumable():
        for prior in plan_.configs:
            with progress_bar(f"{prior}: ") as on_progress:
                rows.append(play(plan_, prior, on_progress))
            sys.stderr.write(f"{prior}: {summary(rows[-1])}\n")
    page = write_report(plan_.runs, plan_.page)
    if as_json:
        print_json({"report": str(page), "runs": rows})
        return
    columns = ["prior", "val_loss_none", "val_loss_initial", "val_loss", "displacement", "folder"]
    print_table(rows, columns)
    sys.stdout.write(f"{page}\n")
