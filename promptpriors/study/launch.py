"""A study from file to finished runs: only what is missing is done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptpriors.config.study import StudyFile
from promptpriors.errors import WorkError
from promptpriors.progress import OnProgress
from promptpriors.running.run import check_writable
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import check_versions
from promptpriors.study.here import run_here
from promptpriors.study.local import Outcome
from promptpriors.study.plan import Entry
from promptpriors.study.ray_cluster import cluster, run_on_ray
from promptpriors.study.record import write_record
from promptpriors.study.status import Surveyed, mend, survey


@dataclass(frozen=True)
class Where:
    """Where a study runs.

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
    """The study can't go on; what is done stays done."""


def begin(
    study: StudyFile, entries: Sequence[Entry], runs: Path
) -> tuple[dict[str, Surveyed], str]:
    """Check the folder, set aside what is damaged in it, write down what the study compares.

    Returns:
        What was found for each id, and what the user should know ("" for nothing).

    Raises:
        InputError: for a folder that can't be written or is of an incompatible version.
    """
    check_versions(runs)
    check_writable(runs)
    return mend(entries, survey(entries, runs), runs), write_record(study, entries, runs)


def to_do(entries: Sequence[Entry], found: dict[str, Surveyed]) -> list[Entry]:
    """Each run that is not done, once."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.id, entry)
    return [entry for entry in first.values() if found[entry.id].state != "done"]


def carry_out(
    study: StudyFile,
    entries: Sequence[Entry],
    where: Where,
    workspace: Workspace,
    on_progress: Callable[[Entry], OnProgress],
) -> Iterator[Outcome]:
    """Do runs here or on Ray.

    Args:
        study: has the resources.
        entries: what is to do.
        where: it is done.
        workspace: of this process.
        on_progress: who is told how far a run of this process is.

    Yields:
        How each ended.

    Raises:
        Stopped: when the disk is full.
        InputError: for a cluster that can't be used.
    """
    if not entries:
        return
    if where.workers or where.ray:
        with cluster(where.ray, where.workers, study.resources):
            yield from _until_full(run_on_ray(entries, where.runs, where.data, study.resources))
    else:
        yield from _until_full(run_here(entries, where.runs, workspace, where.threads, on_progress))


def _until_full(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        if outcome.status == "full":
            raise Stopped(
                f"the study stops, for the disk can't be written: {outcome.message}\n"
                "Make room and give the same command: what is done stays done"
            )
        yield outcome
