"""Runs of a study with their ids, and the study's record."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from promptpriors.config.study import StudyFile
from promptpriors.errors import InputError
from promptpriors.running.run import identify
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import (
    Comparison,
    StudyRecord,
    StudyRun,
    read_study_record,
    study_path,
    write_study_record,
)
from promptpriors.study.arms import Planned, compared
from promptpriors.study.baselines import baselines, controls
from promptpriors.study.prospects import check_metric


class Entry(NamedTuple):
    """Run of a study with its id."""

    id: str
    run: Planned


def plan(study: StudyFile, workspace: Workspace) -> list[Entry]:
    """Plan every run of a study, each id once for each of its names.

    Raises:
        InputError: for whatever a config, a model or data have wrong; for a reference that is no
            arm, a metric that no run will have; for arms that would be the same run.
    """
    arms, reference = compared(study), study.compare.reference
    names = list(dict.fromkeys(run.arm for run in arms))
    if reference is not None and reference not in names:
        raise InputError(
            f"[compare] reference = {reference!r} is no arm; the arms are {', '.join(names)}"
        )
    tasks = {repr(run.config.task): run.config.task for run in arms}
    check_metric(study.compare.metric, map(workspace.task, tasks.values()))
    besides = list(baselines(study, workspace, arms))
    floors = [run for run in besides if run.kind == "baseline"]
    ceilings = [run for run in besides if run.kind == "ceiling"]
    control_runs = controls(study, workspace, arms) if study.compare.controls else ()
    entries = []
    for run in (*floors, *arms, *control_runs, *ceilings):
        config = run.config.placed(workspace.blocks(run.config.model))
        entries.append(Entry(identify(config, workspace), run._replace(config=config)))
    _check_twice(entries)
    return entries


def write_record(study: StudyFile, entries: Sequence[Entry], runs: Path) -> str:
    """Write ``studies/<name>.json`` below ``runs``, replacing an earlier one.

    Returns a remark if the comparison was fixed otherwise before, or had runs that the study no
    longer has; else "".

    Raises:
        InputError: if the one that is there is damaged.
    """
    path = study_path(runs, study.name)
    compare = Comparison(**study.compare.model_dump())
    earlier, gone = [], 0
    if path.exists():
        before = read_study_record(path)
        earlier = list(before.earlier)
        if before.compare != compare:
            earlier.append(before.compare.model_dump())
        gone = len({run.id for run in before.runs} - {entry.id for entry in entries})
    rows = [
        StudyRun(
            id=entry.id,
            kind=entry.run.kind,
            arm=entry.run.arm,
            setting=entry.run.setting,
            rate=entry.run.rate,
            seed=entry.run.seed,
            factors=dict(entry.run.factors),
        )
        for entry in entries
    ]
    record = StudyRecord(name=study.name, compare=compare, earlier=earlier, runs=rows)
    write_study_record(runs, record)
    remarks = []
    if earlier:
        remarks.append(
            f"[compare] of the study {study.name!r} was another before; {path} keeps it as earlier"
        )
    if gone:
        remarks.append(
            f"{gone} runs that the study {study.name!r} had before are none of its own now: their "
            "folders stay, `compare` counts them no more (a study is known by its file's name)"
        )
    return "; ".join(remarks)


def _check_twice(entries: Sequence[Entry]) -> None:
    """Two arms that are the same run would be counted twice."""
    known: dict[str, str] = {}
    for entry in entries:
        if entry.run.kind not in {"arm", "negative"}:
            continue
        name = f"{entry.run.arm} ({entry.run.rate or 'frozen'}, seed {entry.run.seed})"
        if entry.id in known:
            raise InputError(
                f"two runs of the study are one and the same: {known[entry.id]} and {name}; "
                "leave one out"
            )
        known[entry.id] = name
