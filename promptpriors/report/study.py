"""Studies on the page: facts, verdicts, figures and tables of each setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptpriors.figures import RunStyles
from promptpriors.figures.bands import bands
from promptpriors.figures.forest import forest
from promptpriors.figures.styles import ArmStyle, arm_styles
from promptpriors.report.formatting import fixed, whole
from promptpriors.report.groups import plain
from promptpriors.report.study_curves import Curves, curves_of
from promptpriors.report.tables import ShownTable, study_table
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of
from promptpriors.runs.studies import BASELINES, CONTROLS, StudyRecord, StudyRun
from promptpriors.runs.study_results import SettingResult, list_study_records, list_study_results
from promptpriors.verdicts.study_tables import NOTES

METRICS = {"val_loss": "validation loss", "val_loss_best": "lowest validation loss"}


@dataclass(frozen=True)
class StudyPanel:
    """Study in one setting.

    Attributes:
        record: the planned runs; None where the file is missing.
        result: None where nothing is stored.
        notes: warnings.
        styles: how each arm and control is drawn.
        forest: the figure of differences.
        bands: the figure of curves.
        drawn: the curves in that figure, and the runs that are in none.
        tables: those with rows.
    """

    study: str
    setting: str
    record: StudyRecord | None
    result: SettingResult | None
    reference: str
    facts: list[tuple[str, str]]
    notes: list[str]
    styles: Mapping[str, ArmStyle]
    forest: dict[str, Any] | None
    bands: dict[str, Any] | None
    drawn: Curves
    tables: Mapping[str, ShownTable]

    @property
    def others(self) -> list[ShownTable]:
        """Tables that stand below the figures."""
        shown = {"arms", "verdicts"} | ({"differences"} if self.forest else set())
        return [table for name, table in self.tables.items() if name not in shown]


@dataclass(frozen=True)
class Studies:
    """Section of studies: a panel a study and setting, and errors."""

    panels: list[StudyPanel]
    problems: list[str]


def studies(folder: Path, runs: Sequence[Run], page_styles: RunStyles) -> Studies | None:
    """Gather the studies of a runs folder; None where there are none."""
    records, damaged = list_study_records(folder)
    results, damaged_results = list_study_results(folder)
    problems = [f"A study can’t be shown: {error}" for error in damaged]
    problems += [f"A study’s result can’t be shown: {error}" for error in damaged_results]
    by_id = {run.id: run for run in runs}
    planned = {(record.name, run.setting): record for record in records for run in record.runs}
    judged = {(result.name, one.setting): one for result in results for one in result.settings}
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
    figure = bands(
        drawn.curves, drawn.levels, styles=styles, choices=drawn.choices, reference=reference
    )
    tables = {name: result and study_table(name, result) for name in NOTES}
    return StudyPanel(
        study=study,
        setting=setting,
        record=record,
        result=result,
        reference=reference,
        facts=_facts(record, result, members, drawn, runs),
        notes=[
            "The comparison was fixed otherwise before: "
            f"{', '.join(f'{name} {value}' for name, value in rules.items())}. "
            "What is chosen after runs were seen shows less."
            for rules in (record.earlier if record else [])
        ],
        styles=styles,
        forest=_forest(result, reference, styles) if result else None,
        bands=plain(figure) if drawn.curves else None,
        drawn=drawn,
        tables={name: table for name, table in tables.items() if table},
    )


def _prior(arm: str, members: Sequence[StudyRun], runs: Mapping[str, Run]) -> str:
    """The prior of an arm's first run that is there; without any, what the study varies."""
    mine = [member for member in members if member.arm == arm]
    there = [prior_of(runs[member.id]) for member in mine if member.id in runs]
    names = (member.factors.get("prior.name") for member in mine)
    return next((name for name in (*there, *names) if isinstance(name, str)), arm)


def _forest(
    result: SettingResult, reference: str, styles: Mapping[str, ArmStyle]
) -> dict[str, Any] | None:
    if all(contrast.difference is None for contrast in result.contrasts):
        return None
    axis = METRICS.get(result.metric, result.metric) + (f", {result.unit}" if result.unit else "")
    rows, margin = result.contrasts, result.margin
    return plain(forest(rows, reference=reference, margin=margin, axis=axis, styles=styles))


def _facts(
    record: StudyRecord | None,
    result: SettingResult | None,
    members: Sequence[StudyRun],
    drawn: Curves,
    runs: Mapping[str, Run],
) -> list[tuple[str, str]]:
    """Name and text of what is compared, how, and over how many runs."""
    metric, share = record.compare.metric if record else "", record.compare.margin if record else 0
    if result:
        metric, share = result.metric, result.margin_share
    known = f"±{result.margin:.3g}, " if result and result.margin is not None else ""
    margin = f"{known}{100 * share:.3g} % of floor to ceiling"
    there = [runs[member.id].config for member in members if member.id in runs]
    arms = [(member.arm, member.rate, member.seed) for member in members if member.kind == "arm"]
    sizes = " × ".join(whole(len(set(values))) for values in zip(*arms, strict=True))
    lost = f", {whole(len(drawn.lost))} not finished" if drawn.lost else ""
    facts = [
        ("model", _listed(str(config["model"]) for config in there)),
        ("task", _listed(str(config["task"].get("name")) for config in there)),
        ("compared by", METRICS.get(metric, metric)),
        ("equal within", margin),
        *_scale(metric, result, drawn),
        ("arms × rates × seeds", sizes),
        ("runs", whole(len(members)) + lost if members else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _scale(metric: str, result: SettingResult | None, drawn: Curves) -> list[tuple[str, str]]:
    """Floor and ceiling in the metric; without a result they are known of the loss alone."""
    if result:
        return [(end, fixed(value)) for end, value in result.scale or ()]
    levels = drawn.levels if metric == "val_loss" else []
    return [(level.role, fixed(level.value)) for level in levels if level.role != "text"]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
