"""The command `study`: a grid of runs."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from promptpriors.cli.options import Data, Json, Runs
from promptpriors.cli.output import (
    print_json,
    print_table,
    progress_bar,
    remark,
    resumable,
    say,
    use_threads,
)
from promptpriors.errors import InputError, WorkError
from promptpriors.paths import check_file

COLUMNS = ("id", "kind", "arm", "setting", "rate", "seed", "state", "note")


def study(
    file: Annotated[
        Path, typer.Argument(metavar="STUDY.toml", callback=check_file, help="What is varied.")
    ],
    runs: Runs = Path("runs"),
    data: Data = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, metavar="N", help="Start a Ray of N workers here.")
    ] = 0,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Join a Ray cluster.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs, and forecast time and memory.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="However many runs there are.")] = False,
    as_json: Json = False,
) -> None:
    """A grid of runs, of which only what is missing is done; `compare` says what they show.

    What is done is skipped, what failed is tried again, what is half done goes on.

    Example: promptpriors study configs/paper/screening.toml --workers 2 --dry-run
    """
    from promptpriors.config.study import read_study
    from promptpriors.study.launch import carry_out, prepare_study, to_do
    from promptpriors.study.local import workspace_of
    from promptpriors.study.plan import plan
    from promptpriors.study.prospects import prospects
    from promptpriors.study.status import sentence, survey

    if workers and ray:
        raise InputError("--workers starts a Ray here and --ray joins one: give one of them")
    read = read_study(file)
    threads = read.resources.cpus or (1 if workers or ray else os.cpu_count() or 1)
    use_threads(threads)
    workspace = workspace_of(data)
    entries = plan(read, workspace)
    expected = prospects(read, entries)
    if dry_run:
        found = survey(entries, runs)
        remark(sentence(found))
        _say(expected)
        forecast = _forecast(entries, found, workspace, workers, threads)
        _show(entries, found, as_json, {**forecast, "prospects": expected})
        return
    _limit(len({entry.id for entry in entries}), read.resources.limit, yes)
    found, word = prepare_study(read, entries, runs)
    if word:
        remark(f"note: {word}")
    remark(sentence(found))
    missing = to_do(entries, found)
    _say(expected if missing else [])
    for entry in missing:
        if found[entry.id].state in {"damaged", "failed"}:
            remark(f"{entry.id} {found[entry.id].state}: {found[entry.id].note}")
    attempts = partial(
        carry_out, read, missing, runs, workspace, threads=threads, workers=workers, ray=ray
    )
    failed = _report(missing, attempts)
    _show(entries, survey(entries, runs), as_json)
    if failed:
        raise WorkError(
            f"{failed} runs failed, for the reasons above; `promptpriors study {file}` tries them "
            f"again. {runs}/<id>/error.txt says why one failed that had begun to train"
        )


def _say(prospects: Sequence[str]) -> None:
    """What the plan can't show, or with what chance it does."""
    for line in prospects:
        remark(f"note: {line}")


def _report(missing: Sequence[Any], carry_out: Callable[[Any], Iterator[Any]]) -> int:
    """Do the runs, a line for each; returns how many failed."""
    from promptpriors.progress import silent

    entries = {entry.id: entry.run for entry in missing}
    began, ended, failed = time.perf_counter(), 0, 0
    with resumable("the same command goes on where it was"), progress_bar() as on_progress:
        for attempt in carry_out(on_progress if sys.stderr.isatty() else silent):
            ended += 1
            failed += attempt.status == "failed"
            run = entries[attempt.id]
            words = [run.arm, run.setting, run.rate, f"seed {run.seed}"]
            took = time.perf_counter() - began
            left = took / ended * (len(entries) - ended)
            remark(
                f"[{ended}/{len(entries)}] {attempt.id} {', '.join(filter(None, words))}: "
                f"{attempt.status} in {attempt.seconds:.1f} s, about {left / 60:.0f} min left"
            )
            for text in (*attempt.notes, attempt.message):
                if text:
                    remark(f"  {text}")
    return failed


def _forecast(
    entries: Sequence[Any], found: dict[str, Any], workspace: Any, workers: int, threads: int
) -> dict[str, Any]:
    """What is left to do, in hours on workers with so many of this machine's cores each."""
    from promptpriors.study.launch import forecast, to_do

    missing = to_do(entries, found)
    with progress_bar() as on_progress:
        cost = forecast(missing, workspace, on_progress)
    total = sum(cost.seconds.values())
    return {
        "runs": len(missing),
        "hours": total / 3600 / max(1, workers),
        "workers": max(1, workers),
        "threads": threads,
        "memory_mib_per_worker": cost.memory_mib,
    }


def _show(
    entries: Sequence[Any],
    found: dict[str, Any],
    as_json: bool,
    forecast: dict[str, Any] | None = None,
) -> None:
    rows = [
        {"id": entry.id, **entry.run._asdict(), **found[entry.id]._asdict()} for entry in entries
    ]
    shown = [{column: row[column] for column in COLUMNS} for row in rows]
    if as_json:
        print_json({"runs": shown} | ({"forecast": forecast} if forecast else {}))
        return
    print_table(shown, COLUMNS)
    if forecast:
        memory = forecast["memory_mib_per_worker"]
        peak = "" if memory is None else f", {memory:.0f} MiB a worker"
        say(
            f"{forecast['runs']} runs to do: about {forecast['hours']:.2g} h with "
            f"{forecast['workers']} at a time{peak}; model, spaces and trunk come on top"
        )


def _limit(number: int, limit: int, yes: bool) -> None:
    if number > limit and not yes:
        raise InputError(
            f"the study has {number} runs, more than its limit of {limit}: --dry-run shows them; "
            "start them by --yes, or raise [resources] limit"
        )
