"""All runs of a study with their ids: arms, controls, baselines and ceiling."""

from collections.abc import Sequence
from typing import NamedTuple

from promptpriors.config.study import StudyFile
from promptpriors.errors import InputError
from promptpriors.running.run import identify
from promptpriors.running.workspace import Workspace
from promptpriors.study.arms import Planned, compared
from promptpriors.study.baselines import baselines
from promptpriors.study.controls import controls


class Entry(NamedTuple):
    """A run of a study with its id."""

    id: str
    run: Planned


def plan(study: StudyFile, workspace: Workspace) -> list[Entry]:
    """Every run that the study names, each id once for each name that it has.

    Raises:
        InputError: for whatever a config, a model or data have wrong; for a reference that is no
            arm; for arms that would be the same run.
    """
    arms = compared(study)
    _check_reference(study, arms)
    beside = list(baselines(study, workspace, arms))
    floors = [run for run in beside if run.kind == "baseline"]
    ceilings = [run for run in beside if run.kind == "ceiling"]
    aside = list(controls(study, workspace, arms)) if study.compare.controls else []
    runs = [*floors, *arms, *aside, *ceilings]
    entries = [_entry(run, workspace) for run in runs]
    _check_twice(entries)
    return entries


def _entry(run: Planned, workspace: Workspace) -> Entry:
    config = run.config.placed(workspace.blocks(run.config))
    return Entry(identify(config, workspace), run._replace(config=config))


def _check_reference(study: StudyFile, arms: Sequence[Planned]) -> None:
    names = list(dict.fromkeys(run.arm for run in arms))
    reference = study.compare.reference
    if reference is not None and reference not in names:
        raise InputError(
            f"[compare] reference = {reference!r} is no arm; the arms are {', '.join(names)}"
        )


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
