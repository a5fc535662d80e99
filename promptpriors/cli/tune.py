"""Commands that train: run, demo, doctor."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Data, Json, Runs, data_folder, print_json, print_table
from promptpriors.cli.progress import progress_bar

Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The run's config.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Values to override, such as train.lr=1e-3."),
]


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
    from promptpriors.experiments import Session, execute, read_config
    from promptpriors.experiments.follow import follow
    from promptpriors.training.parallel import Crew, gathered

    with gathered() as team:
        resolved = read_config(config, overrides or [])
        use_threads(resolved.device.threads, team.local)
        session = Session(data_folder(data))
        if isinstance(team, Crew) and not team.main:
            follow(resolved, session, team)
        with progress_bar() as watch, resumable():
            done = execute(resolved, runs, session, watch=watch, team=team)
    result = done.result or {}
    if as_json:
        print_json({"folder": str(done.folder), "id": done.id, **result})
        return
    sys.stdout.write(f"{done.folder}\n")
    sys.stderr.write(summary(result) + "\n")


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
    from promptpriors.experiments.demo import plan, play

    use_threads(None)
    plan_ = plan(out)
    sys.stderr.write(plan_.announcement + "\n")
    rows = []
    with resumable():
        for prior in plan_.configs:
            with progress_bar(f"{prior}: ") as watch:
                rows.append(play(plan_, prior, watch))
            sys.stderr.write(f"{prior}: {summary(rows[-1])}\n")
    page = plan_.report()
    if as_json:
        print_json({"report": str(page), "runs": rows})
        return
    columns = ["prior", "val_loss_none", "val_loss_initial", "val_loss", "displacement", "folder"]
    print_table(rows, columns)
    sys.stdout.write(f"{page}\n")


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
    from promptpriors.experiments import Session, read_config
    from promptpriors.experiments.advise import advise
    from promptpriors.experiments.doctor import examine

    resolved = read_config(config, overrides or [])
    use_threads(resolved.device.threads)
    session = Session(data_folder(data))
    with progress_bar() as watch:
        findings = [finding._asdict() for finding in examine(resolved, session, watch)]
        if rates and not resolved.train.frozen:
            findings.append(advise(resolved, session, watch)._asdict())
    if as_json:
        print_json(findings)
    else:
        marks = {True: "ok", False: "FAILED", None: "note"}
        shown = [{**row, "verdict": marks[row["passed"]]} for row in findings]
        print_table(shown, ["verdict", "check", "found"])
    raise typer.Exit(1 if any(row["passed"] is False for row in findings) else 0)


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


class resumable:  # noqa: N801 used like a function
    """Ctrl-C ends with a word on how to go on."""

    def __init__(self, how: str = "the same command goes on from the last evaluation") -> None:
        self._how = how

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Say it and leave with the status of an interrupted program."""
        if kind is KeyboardInterrupt:
            sys.stderr.write(f"interrupted; {self._how}\n")
            raise typer.Exit(130)


def use_threads(threads: int | None, processes: int = 1) -> None:
    """Set torch's threads for this process: as asked, else its part of all cores."""
    import os

    import torch

    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // processes))
