"""The record that a study leaves beside its runs."""

from collections.abc import Sequence
from pathlib import Path

from promptpriors.experiments.study.file import StudyFile
from promptpriors.experiments.study.plan import Entry
from promptpriors.runs.studies import (
    Comparison,
    StudyRecord,
    StudyRun,
    read_study_record,
    study_path,
    write_study_record,
)


def write_record(study: StudyFile, entries: Sequence[Entry], runs: Path) -> str:
    """Write ``studies/<name>.json`` below ``runs``; what was there before is replaced.

    Returns:
        What the user should know: that the comparison was fixed otherwise before; "" if not.

    Raises:
        InputError: if the one that is there is damaged.
    """
    path = study_path(runs, study.name)
    compare = Comparison(**study.compare.model_dump())
    earlier = []
    if path.exists():
        before = read_study_record(path)
        earlier = list(before.earlier)
        if before.compare != compare:
            earlier.append(before.compare.model_dump())
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
    write_study_record(
        runs, StudyRecord(name=study.name, compare=compare, earlier=earlier, runs=rows)
    )
    if not earlier:
        return ""
    return f"[compare] of the study {study.name!r} was another before; {path} keeps it as earlier"
