"""Studies on the page: facts, verdicts, figures and tables of each setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.figures import RunStyles
from promptpriors.figures.bands import bands
from promptpriors.figures.forest import forest
from promptpriors.figures.styles import MARKS, ArmStyle, Mark, arm_styles
from promptpriors.report.formatting import fixed, significant, whole
from promptpriors.report.groups import plain
from promptpriors.report.study_curves import Curves, curves_of
from promptpriors.report.tables import ShownTable, study_table
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of
from promptpriors.runs.studies import (
    BASELINES,
    CONTROLS,
    StudyRecord,
    StudyRun,
    list_study_records,
)
from promptpriors.runs.study_results import QUESTIONS, Answer, SettingResult, list_study_results
from promptpriors.verdicts.study_tables import NOTES

METRICS = {"val_loss": "validation loss", "val_loss_best": "lowest validation loss"}
"""Names of losses."""


class Chip(NamedTuple):
    """Button of an arm: its name, its line, and a remark."""

    arm: str
    style: ArmStyle
    note: str


class ShownAnswer(NamedTuple):
    """Verdict on a question with its mark; ``value`` is empty where there is none."""

    question: str
    statistic: str
    value: str
    answer: Answer
    mark: Mark


@dataclass(frozen=True)
class StudyPanel:
    """Study in one setting.

    Attributes:
        study: its name.
        setting: empty where nothing else is varied.
        planned: whether the study's record is there.
        facts: name and text.
        notes: warnings.
        verdicts: the questions with their answers; empty without a stored result.
        note: explanation of the verdicts.
        chips: a button an arm.
        forest: the figure of differences.
        undrawn: arms without a difference.
        reference: the arm that the others are compared with.
        margin: within which two arms count as equal, as text; empty where it is not known.
        bands: the figure of curves.
        drawn: the curves in that figure, and the runs that are in none.
        differences: the table beneath the first figure.
        arms: the table of arms.
        others: further tables.
    """

    study: str
    setting: str
    planned: bool
    facts: list[tuple[str, str]]
    notes: list[str]
    verdicts: list[ShownAnswer]
    note: str
    chips: list[Chip]
    forest: dict[str, Any] | None
    undrawn: list[str]
    reference: str
    margin: str
    bands: dict[str, Any] | None
    drawn: Curves
    differences: ShownTable | None
    arms: ShownTable | None
    others: list[ShownTable]


@dataclass(frozen=True)
class Studies:
    """Section of studies: a panel a study and setting, and errors."""

    panels: list[StudyPanel]
    problems: list[str]


def studies(folder: Path, runs: Sequence[Run], page_styles: RunStyles) -> Studies | None:
    """Gather the studies of a runs folder; None where there are none.

    Args:
        folder: has ``studies/NAME.json`` and ``studies/NAME.result.json``.
        runs: those of the folder.
        page_styles: of the page.
    """
    records, damaged = list_study_records(folder)
    results, damaged_results = list_study_results(folder)
    problems = [f"A study can’t be shown: {error}" for error in damaged]
    problems += [f"A study’s result can’t be shown: {error}" for error in damaged_results]
    by_id = {run.id: run for run in runs}
    planned = {
        (record.name, member.setting): record for record in records for member in record.runs
    }
    judged = {
        (result.name, setting.setting): setting for result in results for setting in result.settings
    }
    panels = [
        _panel(key, planned.get(key), judged.get(key), by_id, page_styles)
        for key in dict.fromkeys([*planned, *judged])
    ]
    return Studies(panels, problems) if panels or problems else None


def _panel(
    key: tuple[str, str],
    record: StudyRecord | None,
    result: SettingResult | None,
    runs: Mapping[str, Run],
    page_styles: RunStyles,
) -> StudyPanel:
    """Gather one panel; ``record`` names the runs, ``result`` is what was found."""
    study, setting = key
    members = [m for m in record.runs if m.setting == setting] if record else []
    kinds = {arm.arm: arm.kind for arm in (result.arms if result else [])}
    kinds |= {member.arm: member.kind for member in members}
    names = [arm for arm, kind in kinds.items() if kind not in BASELINES]
    controls = {arm for arm in names if kinds[arm] in CONTROLS}
    styles = arm_styles({arm: _prior(arm, members, runs) for arm in names}, page_styles, controls)
    drawn = curves_of(members, runs, {a.arm: a.best_rate for a in (result.arms if result else [])})
    compare = record.compare if record else None
    reference = (result.reference if result else compare and compare.reference) or ""
    tables = {name: result and study_table(name, result) for name in NOTES}
    forest_drawn = _forest(result, reference, styles) if result else None
    others = [name for name in NOTES if name not in {"arms", "verdicts"}]
    if forest_drawn:
        others.remove("differences")
    return StudyPanel(
        study=study,
        setting=setting,
        planned=record is not None,
        facts=_facts(record, result, members, drawn, runs),
        notes=_earlier(record),
        verdicts=[_answer(answer) for answer in (result.verdicts if result else [])],
        note=NOTES["verdicts"][1],
        chips=[Chip(arm, styles[arm], "reference" if arm == reference else "") for arm in names],
        forest=forest_drawn,
        undrawn=[c.arm for c in (result.contrasts if result else []) if c.difference is None],
        reference=reference,
        margin="" if result is None or result.margin is None else f"{result.margin:.3g}",
        bands=_bands(drawn, styles, reference),
        drawn=drawn,
        differences=tables["differences"],
        arms=tables["arms"],
        others=[table for name in others if (table := tables[name])],
    )


def _prior(arm: str, members: Sequence[StudyRun], runs: Mapping[str, Run]) -> str:
    """The prior of an arm's first run that is there; without any, what the study varies."""
    mine = [member for member in members if member.arm == arm]
    for member in mine:
        if member.id in runs:
            return prior_of(runs[member.id])
    names = (member.factors.get("prior.name") for member in mine)
    return next((name for name in names if isinstance(name, str)), arm)


def _answer(answer: Answer) -> ShownAnswer:
    return ShownAnswer(
        question=QUESTIONS[answer.question],
        statistic=answer.statistic,
        value="" if answer.value is None else significant(answer.value),
        answer=answer,
        mark=MARKS[answer.state],
    )


def _forest(
    result: SettingResult, reference: str, styles: Mapping[str, ArmStyle]
) -> dict[str, Any] | None:
    if all(contrast.difference is None for contrast in result.contrasts):
        return None
    axis = METRICS.get(result.metric, result.metric) + (f", {result.unit}" if result.unit else "")
    figure = forest(
        result.contrasts, reference=reference, margin=result.margin, axis=axis, styles=styles
    )
    return plain(figure)


def _bands(drawn: Curves, styles: Mapping[str, ArmStyle], reference: str) -> dict[str, Any] | None:
    if not drawn.curves:
        return None
    figure = bands(
        drawn.curves, drawn.levels, styles=styles, choices=drawn.choices, reference=reference
    )
    return plain(figure)


def _facts(
    record: StudyRecord | None,
    result: SettingResult | None,
    members: Sequence[StudyRun],
    drawn: Curves,
    runs: Mapping[str, Run],
) -> list[tuple[str, str]]:
    """Name and text of what is compared, how, and over how many runs."""
    metric, margin_share = _rules(record, result)
    margin = f"{100 * margin_share:.3g} % of floor to ceiling"
    if result and result.margin is not None:
        margin = f"±{result.margin:.3g}, {margin}"
    there = [runs[member.id].config for member in members if member.id in runs]
    arms = [member for member in members if member.kind == "arm"]
    facts = [
        ("model", _listed(str(config["model"]) for config in there)),
        ("task", _listed(str(config["task"].get("name")) for config in there)),
        ("compared by", METRICS.get(metric, metric)),
        ("equal within", margin),
        *_scale(metric, result, drawn),
        ("arms × rates × seeds", _counts(arms)),
        ("runs", _runs(len(members), len(drawn.lost)) if members else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _rules(record: StudyRecord | None, result: SettingResult | None) -> tuple[str, float]:
    if result:
        return result.metric, result.margin_share
    return (record.compare.metric, record.compare.margin) if record else ("", 0.0)


def _scale(metric: str, result: SettingResult | None, drawn: Curves) -> list[tuple[str, str]]:
    """Floor and ceiling in the metric; without a result they are known of the loss alone."""
    if result:
        scale = result.scale
        return [("floor", fixed(scale.floor)), ("ceiling", fixed(scale.ceiling))] if scale else []
    levels = drawn.levels if metric == "val_loss" else []
    return [(level.role, fixed(level.value)) for level in levels if level.role != "text"]


def _earlier(record: StudyRecord | None) -> list[str]:
    """A sentence for each comparison that was fixed before this one."""
    return [
        "The comparison was fixed otherwise before: "
        + ", ".join(f"{name} {value}" for name, value in rules.items())
        + ". What is chosen after runs were seen shows less."
        for rules in (record.earlier if record else [])
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _counts(arms: Sequence[StudyRun]) -> str:
    """Numbers of arms, rates and seeds; nothing without arms."""
    sizes = [len({getattr(m, name) for m in arms}) for name in ("arm", "rate", "seed")]
    return " × ".join(map(whole, sizes)) if arms else ""


def _runs(number: int, lost: int) -> str:
    return whole(number) if not lost else f"{whole(number)}, {whole(lost)} not finished"
