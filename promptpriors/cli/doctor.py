"""The command `doctor`: checks of a config before it is trained."""

from typing import Annotated

import typer

from promptpriors.cli.options import Config, Data, Json, Overrides
from promptpriors.cli.output import print_json, print_table, progress_bar, use_threads


def doctor(
    config: Config,
    overrides: Overrides = None,
    data: Data = None,
    rates: Annotated[
        bool, typer.Option("--advise", help="Try a few rates as well and name the best.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Does this set-up learn at all? Checks model, data, loss and gradient; forecasts the run.

    Exit status 1 if a check fails.

    Example: promptpriors doctor configs/squad.toml --data ../data
    """
    from promptpriors.config.run import read_config
    from promptpriors.running.doctor import advise, examine
    from promptpriors.running.workspace import Workspace

    resolved = read_config(config, overrides or [])
    use_threads(resolved.device.threads)
    workspace = Workspace(data)
    with progress_bar() as on_progress:
        findings = [finding._asdict() for finding in examine(resolved, workspace, on_progress)]
        if rates and not resolved.train.frozen:
            findings.append(advise(resolved, workspace, on_progress)._asdict())
    if as_json:
        print_json(findings)
    else:
        marks = {True: "ok", False: "FAILED", None: "note"}
        shown = [{**row, "verdict": marks[row["passed"]]} for row in findings]
        print_table(shown, ["verdict", "check", "found"])
    raise typer.Exit(1 if any(row["passed"] is False for row in findings) else 0)
