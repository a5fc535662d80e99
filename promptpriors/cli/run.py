"""The commands `run` and `demo`: one run from its config, and the whole pipeline in minutes."""

from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Config, Data, Json, Overrides, Runs
from promptpriors.cli.output import (
    print_json,
    print_table,
    progress_bar,
    remark,
    resumable,
    say,
    summary,
    use_threads,
)


def run(
    config: Config,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    as_json: Json = False,
) -> None:
    """One run: draw a prompt from its prior, train it, score it; prints the run folder.

    A run that is done is found and not repeated; one that was interrupted goes on. Started by
    torchrun or accelerate (-m promptpriors run …), several processes share the work.

    Example: promptpriors run configs/arithmetic.toml prior.name=isotropic seed=1
    """
    from promptpriors.config.run import read_config
    from promptpriors.running.run import execute
    from promptpriors.running.training_run import follow
    from promptpriors.running.workspace import Workspace
    from promptpriors.training.parallel import Crew, gathered

    with gathered() as team:
        resolved = read_config(config, overrides or [])
        use_threads(resolved.device.threads, team.local)
        workspace = Workspace(data)
        if isinstance(team, Crew) and not team.main:
            follow(resolved, workspace, team)
        with progress_bar() as on_progress, resumable():
            done = execute(resolved, runs, workspace, on_progress=on_progress, team=team)
    result = done.result or {}
    if as_json:
        print_json({"folder": done.folder, "id": done.id, **result})
        return
    say(str(done.folder))
    remark(summary(result))


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
    remark(plan_.announcement)
    rows = []
    with resumable():
        for prior in plan_.configs:
            with progress_bar(f"{prior}: ") as on_progress:
                rows.append(play(plan_, prior, on_progress))
            remark(f"{prior}: {summary(rows[-1])}")
    page = write_report(plan_.runs, plan_.page)
    if as_json:
        print_json({"report": page, "runs": rows})
        return
    columns = ["prior", "val_loss_none", "val_loss_initial", "val_loss", "displacement", "folder"]
    print_table(rows, columns)
    say(str(page))
