"""Outcomes of a folder's studies: runs that belong together, and the metric of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.analysis.plateau import Curve
from promptpriors.analysis.pooled import Outcome
from promptpriors.errors import InputError
from promptpriors.runs import Run, has_run, read_run
from promptpriors.runs.studies import (
    Comparison,
    Kind,
    StudyRun,
    read_study_record,
    study_paths,
)
from promptpriors.runs.study_results import Unit

MOST_MISSING = 0.2
"""Share of an arm's runs that may be missing without the arm losing its verdicts."""


class RunOutcome(NamedTuple):
    """Final metric of one run, with its arm, rate and block.

    Attributes:
        plan: the run as planned.
        value: the metric; None where there is none.
        reason: why there is none.
        run: its folder, where that can be read.
    """

    plan: StudyRun
    value: float | None
    reason: str
    run: Run | None


@dataclass(frozen=True)
class Setting:
    """Runs of a study that are compared with each other."""

    study: str
    name: str
    compare: Comparison
    runs: Sequence[RunOutcome]

    def by_arm(self, *kinds: Kind) -> dict[str, list[RunOutcome]]:
        """Group the runs of these kinds by arm."""
        found: dict[str, list[RunOutcome]] = {}
        for run in self.runs:
            if run.plan.kind in kinds:
                found.setdefault(run.plan.arm, []).append(run)
        return found

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is a loss or another objective."""
        return any(word in self.compare.metric for word in ("loss", "objective"))

    @property
    def unit(self) -> Unit:
        """Unit of the metric; empty where it is not known."""
        metric = self.compare.metric
        if "loss" in metric:
            return "nats per target token"
        return "share" if metric.startswith("scores.") else ""

    @property
    def crossed(self) -> bool:
        """Whether one draw is trained on several orders of the data, with several draws."""
        pairs = {(draw_of(run.plan), run.plan.seed) for run in self.runs if _compared(run)}
        draws = {draw for draw, _ in pairs}
        return 1 < len(draws) < len(pairs)

    def outcomes(self, runs: Sequence[RunOutcome]) -> list[Outcome]:
        """Take values of runs as they are pooled.

        Blocks are draws where those differ, else orders of the data; mostly one seed decides both.
        Where both are varied, orders are a part of the grid that an arm is averaged over.
        """
        compared = [run.plan for run in self.runs if _compared(run)]
        several = len({draw_of(plan) for plan in compared}) > 1
        crossed = self.crossed
        found = []
        for run in runs:
            if run.value is None:
                continue
            plan = run.plan
            cell = f"{plan.rate}, order {plan.seed}" if crossed else plan.rate
            block = draw_of(plan) if several else str(plan.seed)
            found.append(Outcome(plan.arm, cell, block, run.value))
        return found


def draw_of(plan: StudyRun) -> str:
    """Name the draw of a run's prompt within its arm: the seed, wherever that is varied."""
    if "seed" in plan.factors:
        return str(plan.factors["seed"])
    return "" if "train.order" in plan.factors else str(plan.seed)


def mostly_missing(runs: Sequence[RunOutcome]) -> bool:
    """Check whether too many of an arm's runs are missing for a verdict."""
    return sum(run.value is None for run in runs) > MOST_MISSING * len(runs)


def lacks(runs: Sequence[RunOutcome]) -> str:
    """Count an arm's missing runs, in words."""
    return f"{sum(run.value is None for run in runs)} of {len(runs)} runs are missing"


def curve_of(run: RunOutcome) -> Curve:
    """Read the validation losses of a run by step.

    Raises:
        InputError: if its records are damaged.
    """
    rows = run.run.metrics() if run.run else []
    return [
        (int(row["step"]), float(row["val_loss"]))
        for row in rows
        if _is_number(row.get("step")) and _is_number(row.get("val_loss"))
    ]


def read_settings(folder: Path) -> list[Setting]:
    """Read the settings of every study of a folder, in the order of the studies' names.

    Raises:
        InputError: for a damaged ``studies/*.json``, or a metric that no finished run has.
    """
    found: list[Setting] = []
    for path in study_paths(folder):
        found += _settings(path, folder)
    return found


def _settings(path: Path, folder: Path) -> list[Setting]:
    file = read_study_record(path)
    known = {plan.id: _open(folder / plan.id) for plan in file.runs}
    metric = file.compare.metric
    results = [run.result for run, _ in known.values() if run and run.result]
    if results and not any(_number(result, metric) is not None for result in results):
        names = ", ".join(key for key, value in results[0].items() if _is_number(value))
        raise InputError(
            f"{path}: the metric {metric!r} is no number of any result.json; they have {names}"
        )
    found = [_found(plan, *known[plan.id], metric) for plan in file.runs]
    names = dict.fromkeys(plan.setting for plan in file.runs)
    return [
        Setting(file.name, name, file.compare, [run for run in found if run.plan.setting == name])
        for name in names
    ]


def _open(folder: Path) -> tuple[Run | None, str]:
    """The run in a folder, or why there is none."""
    try:
        if not has_run(folder):
            return None, "not begun"
        run = read_run(folder)
    except InputError as error:
        return None, str(error).splitlines()[0]
    if run.result is None:
        return run, (run.error or "not finished").splitlines()[0]
    return run, ""


def _found(plan: StudyRun, run: Run | None, reason: str, metric: str) -> RunOutcome:
    value = _number(run.result, metric) if run and run.result else None
    if value is None and not reason:
        reason = f"its {metric} is not a number"
    return RunOutcome(plan, value, reason, run)


def _number(result: Any, metric: str) -> float | None:
    """The number at a dotted key, such as ``scores.f1``."""
    for key in metric.split("."):
        result = result.get(key) if isinstance(result, Mapping) else None
    return float(result) if _is_number(result) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _compared(run: RunOutcome) -> bool:
    return run.plan.kind == "arm"
