"""What the page shows of each study in each setting: verdicts, figures, tables, lost runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.figures import RunStyles
from promptpriors.figures.bands import bands
from promptpriors.figures.forest import Effect, effects, forest
from promptpriors.figures.styles import ArmStyle, arm_styles
from promptpriors.report.groups import plain
from promptpriors.report.study_curves import Curves, curves_of
from promptpriors.report.study_file import BESIDE, CONTROLS, read_studies
from promptpriors.report.study_rows import Arm, Difference, Part, Verdict, faults, parts
from promptpriors.report.study_words import axis_of, earlier_of, facts_of, margin_of
from promptpriors.report.tables import Table, Tables
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of
from promptpriors.runs.studies import StudyRecord, StudyRun


class Chip(NamedTuple):
    """An arm's button: its name, its line, what is to be known about it."""

    arm: str
    style: ArmStyle
    note: str


@dataclass(frozen=True)
class Panel:
    """A study in one setting.

    Attributes:
        study: its name.
        setting: empty where nothing else is varied.
        planned: whether the study's file is there.
        facts: name and text.
        notes: what a reader must not overlook.
        verdicts: the questions and what became of them.
        note: what must be known to read these.
        chips: a button an arm.
        forest: the figure of differences.
        undrawn: arms without a number there.
        reference: the arm that the others are compared with.
        margin: within which two arms count as equal, as text; empty where it is not known.
        bands: the figure of curves.
        drawn: what is in that figure and what is not.
        differences: the table beneath the first figure.
        arms: the table of arms.
        others: further tables.
    """

    study: str
    setting: str
    planned: bool
    facts: list[tuple[str, str]]
    notes: list[str]
    verdicts: list[Verdict]
    note: str
    chips: list[Chip]
    forest: dict[str, Any] | None
    undrawn: list[str]
    reference: str
    margin: str
    bands: dict[str, Any] | None
    drawn: Curves
    differences: Table | None
    arms: Table | None
    others: list[Table]


@dataclass(frozen=True)
class Studies:
    """The section: a panel a study and setting, and what can't be shown."""

    panels: list[Panel]
    problems: list[str]


def studies(
    folder: Path, runs: Sequence[Run], page_styles: RunStyles, compared: Tables | None
) -> Studies | None:
    """The studies of a runs folder, or None where there are none.

    Args:
        folder: has ``studies/NAME.json``.
        runs: those of the folder.
        page_styles: of the page.
        compared: tables that were stored beside the runs.
    """
    known, problems = read_studies(folder)
    tables = [] if compared is None else [table for table in compared.tables if table.of_study]
    problems += faults(tables)
    stored = parts(tables)
    by_id = {run.id: run for run in runs}
    planned = {
        (study.name, setting): study
        for study in known
        for setting in dict.fromkeys(member.setting for member in study.runs)
    }
    panels = [
        _panel(key, planned.get(key), stored.get(key, Part([])), by_id, page_styles)
        for key in dict.fromkeys([*planned, *stored])
    ]
    return Studies(panels, problems) if panels or problems else None


def _panel(
    key: tuple[str, str],
    study: StudyRecord | None,
    part: Part,
    runs: Mapping[str, Run],
    page_styles: RunStyles,
) -> Panel:
    """Gather one panel; ``part`` has what was stored, ``study`` which runs there are."""
    name, setting = key
    members = [m for m in study.runs if m.setting == setting] if study else []
    arms, rows = part.rows("arms", Arm), part.rows("differences", Difference)
    kinds = {arm.arm: arm.kind for arm in arms} | {m.arm: m.kind for m in members}
    controls = {arm for arm, kind in kinds.items() if kind in CONTROLS}
    shown = effects([row.model_dump() for row in rows], controls)
    reference = _reference(study, rows)
    names = [arm for arm, kind in kinds.items() if kind not in BESIDE]
    names += [effect.name for effect in shown if effect.name not in kinds]
    styles = arm_styles({arm: _prior(arm, members, runs) for arm in names}, page_styles, controls)
    drawn = curves_of(members, runs, {arm.arm: arm.best for arm in arms})
    metric = study.compare.metric if study else ""
    margin, verdicts = margin_of(rows), part.rows("verdicts", Verdict)
    placed = {"arms"} | ({"verdicts"} if verdicts else set())
    placed |= {"differences"} if shown else set()
    return Panel(
        study=name,
        setting=setting,
        planned=study is not None,
        facts=facts_of(study, members, drawn, runs, margin),
        notes=earlier_of(study),
        verdicts=verdicts,
        note=table.note if (table := part.table("verdicts")) else "",
        chips=[Chip(arm, styles[arm], "reference" if arm == reference else "") for arm in names],
        forest=_forest(shown, reference, margin, axis_of(metric), styles),
        undrawn=[row.arm for row in rows if row.arm not in {effect.name for effect in shown}],
        reference=reference,
        margin="" if margin is None else f"{margin:.3g}",
        bands=_bands(drawn, styles, reference),
        drawn=drawn,
        differences=part.table("differences"),
        arms=part.table("arms"),
        others=[table for table in part.tables if table.name not in placed],
    )


def _reference(study: StudyRecord | None, rows: Sequence[Difference]) -> str:
    named = [study.compare.reference] if study and study.compare.reference else []
    return str([*(row.reference for row in rows), *named, ""][0] or "")


def _prior(arm: str, members: Sequence[StudyRun], runs: Mapping[str, Run]) -> str:
    """The prior of an arm's first run that is there; without any, what the study varies."""
    mine = [member for member in members if member.arm == arm]
    for member in mine:
        if member.id in runs:
            return prior_of(runs[member.id])
    names = (member.factors.get("prior.name") for member in mine)
    return next((name for name in names if isinstance(name, str)), arm)


def _forest(
    shown: Sequence[Effect],
    reference: str,
    margin: float | None,
    axis: str,
    styles: Mapping[str, ArmStyle],
) -> dict[str, Any] | None:
    if not shown:
        return None
    return plain(forest(shown, reference=reference, margin=margin, axis=axis, styles=styles))


def _bands(drawn: Curves, styles: Mapping[str, ArmStyle], reference: str) -> dict[str, Any] | None:
    if not drawn.curves:
        return None
    figure = bands(
        drawn.curves, drawn.levels, styles=styles, choices=drawn.choices, reference=reference
    )
    return plain(figure)
