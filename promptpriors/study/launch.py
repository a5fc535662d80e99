"""Forecast and execution of a study: only missing runs are done, here or on Ray."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from promptpriors.config.run import RunConfig
from promptpriors.config.study import StudyFile
from promptpriors.errors import WorkError
from promptpriors.paths import check_folder
from promptpriors.priors import fit_prior
from promptpriors.progress import OnProgress
from promptpriors.running.cost import cost, peak_memory_mib, reset_peak_memory
from promptpriors.running.run import draw_start
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import check_versions
from promptpriors.study.local import Attempt, run_here
from promptpriors.study.plan import Entry, write_record
from promptpriors.study.ray_cluster import cluster, run_on_ray
from promptpriors.study.status import Surveyed, repair, survey


class Stopped(WorkError):
    """Study stopped by a full disk; what is done stays done."""


def prepare_study(
    study: StudyFile, entries: Sequence[Entry], runs: Path
) -> tuple[dict[str, Surveyed], str]:
    """Check the folder, exclude damaged files, and record the comparison.

    Returns:
        The state of each id, and what the user should know ("" for nothing).

    Raises:
        InputError: for a folder that can't be written or is of an incompatible version.
    """
    check_versions(runs)
    check_folder(runs, "give another by --runs")
    runs.mkdir(parents=True, exist_ok=True)
    return repair(entries, survey(entries, runs), runs), write_record(study, entries, runs)


def to_do(entries: Sequence[Entry], found: dict[str, Surveyed]) -> list[Entry]:
    """List each run that is not done, once."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.id, entry)
    return [entry for entry in first.values() if found[entry.id].state != "done"]


def carry_out(
    study: StudyFile,
    entries: Sequence[Entry],
    runs: Path,
    workspace: Workspace,
    on_progress: OnProgress,
    *,
    threads: int,
    workers: int = 0,
    ray: str | None = None,
) -> Iterator[Attempt]:
    """Do runs in this process, on a Ray of so many workers, or on the cluster at an address.

    ``threads`` of torch and ``on_progress`` are for runs of this process.

    Raises:
        Stopped: when the disk is full.
        InputError: for a cluster that can't be used.
    """
    if not entries:
        return
    if workers or ray:
        with cluster(ray, workers, study.resources) as asked:
            attempts = run_on_ray(entries, runs, workspace.data, study.resources, asked)
            yield from _until_full(attempts)
    else:
        yield from _until_full(run_here(entries, runs, workspace, threads, on_progress))


def _until_full(attempts: Iterator[Attempt]) -> Iterator[Attempt]:
    for ended in attempts:
        if ended.status == "full":
            raise Stopped(
                f"the study stops, for the disk can't be written: {ended.message}\n"
                "Make room and give the same command: what is done stays done"
            )
        yield ended


class Forecast(NamedTuple):
    """Time and memory that runs will need.

    Attributes:
        seconds: by the run's id, what is made once (spaces, trunk, fits) not counted.
        memory_mib: of one worker at its peak, model and libraries included; None if unknown.
    """

    seconds: dict[str, float]
    memory_mib: float | None


def forecast(entries: Sequence[Entry], workspace: Workspace, on_progress: OnProgress) -> Forecast:
    """Forecast runs that are still to do, by measuring one of each shape.

    Costs do not depend on prior, rate or seed. LoRA is measured as a prompt of one vector, which it
    is not: its own cost lies higher.
    """
    if not entries:
        return Forecast({}, None)
    device = workspace.backbone(entries[0].run.config.model_spec).device
    reset_peak_memory(device)
    known: dict[str, float] = {}
    seconds = {}
    for number, entry in enumerate(entries):
        shape = _shape(entry.run.config)
        if shape not in known:
            on_progress("measuring", number / len(entries), {})
            known[shape] = _measure(entry.run.config, workspace)
        seconds[entry.id] = known[shape]
    return Forecast(seconds, peak_memory_mib(device))


def _shape(config: RunConfig) -> str:
    train = config.train.model_copy(update={"lr": 1.0, "order": None})
    return repr((config.model, config.task, config.prompt, train, config.device))


def _measure(config: RunConfig, workspace: Workspace) -> float:
    if config.train.lora:
        soft = config.prompt.model_copy(update={"mode": "soft", "length": 1, "sites": ["embed"]})
        config = replace(config, prompt=soft)
    prior = None
    if config.prompt.mode != "none":
        prior = fit_prior("isotropic", workspace.vocabulary(config.model_spec), sigma=1.0)
    return cost(config, workspace, draw_start(config, workspace, prior)).seconds
