"""The record that a study leaves beside its runs."""

from collections.abc import Sequence
from pathlib import Path

from promptpriors.config.study import StudyFile
from promptpriors.runs.studies import (
    Comparison,
    StudyRecord,
    StudyRun,
    read_study_record,
    study_path,
    write_study_record,
)
from promptpriors.study.plan import Entry


def write_record(study: StudyFile, entries: Sequence[Entry], runs: Path) -> str:
    """Write ``studies/<name>.json`` below ``runs``; what was there before is replaced.

    Returns:
        What the user should know: that the comparison was fixed otherwise before, or had runs that
        the study no longer has; "" if neither.

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
    write_study_record(
        runs, StudyRecord(name=study.name, compare=compare, earlier=earlier, runs=rows)
    )
    said = []
    if earlier:
        said.append(
            f"[compare] of the study {study.name!r} was another before; {path} keeps it as earlier"
        )
    if gone:
        said.append(
            f"{gone} runs that the study {study.name!r} had before are none of its own now: their "
            "folders stay, `compare` counts them no more (a study is known by its file's name)"
        )
    return "; ".join(said)
