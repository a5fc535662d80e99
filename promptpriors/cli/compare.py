"""The command `compare`: priors and posteriors of a folder of runs."""

from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Data, Folder, Json, Model
from promptpriors.cli.output import print_json, print_table, progress_bar, say, use_threads


def compare(
    folder: Folder,
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
    model: Model = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Prior against posterior, and prior against prior, with intervals and tests.

    Writes DIR/compare.json, which the report shows, and a CSV of each table in DIR/compare; of a
    study DIR/studies/NAME.result.json; with a plan DIR/claims.json, where verdicts by figures are
    kept.

    Example: promptpriors compare runs
    """
    from promptpriors.compare import compare as compared
    from promptpriors.compare import write_tables
    from promptpriors.paper import claims_table, judge_claims, read_analysis
    from promptpriors.running.workspace import Workspace
    from promptpriors.runs.claims import write_claims

    use_threads(None)
    plan = None if analysis is None else read_analysis(analysis)
    with progress_bar() as on_progress:
        tables = compared(folder, Workspace(data), on_progress, use=use, bridge=bridge, model=model)
    if plan is not None:
        claims = judge_claims(plan, folder)
        write_claims(folder, claims)
        tables = [*tables, claims_table(claims)]
    write_tables(tables, folder)
    if as_json:
        print_json({"tables": [table.model_dump() for table in tables]})
        return
    for table in tables:
        say("", table.title, table.note, "")
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        print_table(rows, table.columns)
