"""The command `run`: one run from its config."""

import sys
from pathlib import Path

from promptpriors.cli.options import (
    Config,
    Data,
    Json,
    Overrides,
    Runs,
    data_folder,
    print_json,
    resumable,
    summary,
    use_threads,
)
from promptpriors.cli.progress import progress_bar


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
        workspace = Workspace(data_folder(data))
        if isinstance(team, Crew) and not team.main:
            follow(resolved, workspace, team)
        with progress_bar() as on_progress, resumable():
            done = execute(resolved, runs, workspace, on_progress=on_progress, team=team)
    result = done.result or {}
    if as_json:
        print_json({"folder": str(done.folder), "id": done.id, **result})
        return
    sys.stdout.write(f"{done.folder}\n")
    sys.stderr.write(summary(result) + "\n")
