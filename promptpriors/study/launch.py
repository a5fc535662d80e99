"""Execution of a study: only missing runs are done, here or on Ray."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptpriors.config.study import StudyFile
from promptpriors.errors import WorkError
from promptpriors.progress import OnProgress
from promptpriors.running.run import check_writable
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import check_versions
from promptpriors.study.local import Attempt, run_here
from promptpriors.study.plan import Entry, write_record
from promptpriors.study.ray_cluster import cluster, run_on_ray
from promptpriors.study.status import Surveyed, repair, survey


@dataclass(frozen=True)
class ExecutionPlan:
    """Folders, workers and threads of a study's execution.

    Attributes:
        runs: the folder of run folders.
        data: the data folder, if one is named.
        workers: of a Ray on this machine; 0 does all in this process.
        ray: the address of a cluster; None joins none.
        threads: of torch, for runs of this process.
    """

    runs: Path
    data: Path | None
    workers: int
    ray: str | None
    threads: int


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
    check_writable(runs)
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
    execution: ExecutionPlan,
    workspace: Workspace,
    on_progress: Callable[[Entry], OnProgress],
) -> Iterator[Attempt]:
    """Do runs here or on Ray.

    Args:
        study: has the resources.
        entries: what is to do.
        execution: folders, workers and threads.
        workspace: of this process.
        on_progress: the progress callback of a run of this process.

    Yields:
        How each ended.

    Raises:
        Stopped: when the disk is full.
        InputError: for a cluster that can't be used.
    """
    if not entries:
        return
    runs, threads = execution.runs, execution.threads
    if execution.workers or execution.ray:
        with cluster(execution.ray, execution.workers, study.resources):
            yield from _until_full(run_on_ray(entries, runs, execution.data, study.resources))
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
