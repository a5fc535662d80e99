"""Outcomes of a folder's studies: runs that belong together, and the metric of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from promptpriors.analysis.plateau import Curve
from promptpriors.analysis.pooled import Outcome
from promptpriors.errors import InputError, note
from promptpriors.runs import Run, has_run, read_run
from promptpriors.runs.labels import grouped
from promptpriors.runs.schema import METRICS
from promptpriors.runs.studies import Comparison, Kind, StudyRun, read_study_record, study_paths
from promptpriors.runs.study_results import Unit

MOST_MISSING = 0.2
"""Share of an arm's runs that may be missing without the arm losing its verdicts."""


class RunOutcome(NamedTuple):
    """Final metric of one run, with its arm, rate and block.

    ``reason`` says why there is no value; there is a run where its folder can be read.
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
        return grouped((r for r in self.runs if r.plan.kind in kinds), lambda run: run.plan.arm)

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
        pairs = {(draw_of(r.plan), r.plan.seed) for r in self.runs if r.plan.kind == "arm"}
        return 1 < len({draw for draw, _ in pairs}) < len(pairs)

    def outcomes(self, runs: Sequence[RunOutcome]) -> list[Outcome]:
        """Take values of runs as they are pooled.

        Blocks are draws where those differ, else orders of the data; mostly one seed decides both.
        Where both are varied, orders are a part of the grid that an arm is averaged over.
        """
        several = len({draw_of(run.plan) for run in self.runs if run.plan.kind == "arm"}) > 1
        crossed = self.crossed
        return [
            Outcome(
                arm=plan.arm,
                rate=f"{plan.rate}, order {plan.seed}" if crossed else plan.rate,
                block=draw_of(plan) if several else str(plan.seed),
                value=value,
            )
            for plan, value, _, _ in runs
            if value is not None
        ]


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
    pairs = [(row.get("step"), row.get("val_loss")) for row in rows]
    return [(int(s), float(loss)) for s, loss in pairs if _is_number(s) and _is_number(loss)]


def read_settings(folder: Path) -> list[Setting]:
    """Read the settings of every study of a folder, in the order of the studies' names.

    A study whose record is damaged, or whose metric no finished run has, is left out with a note.
    """
    found = []
    for path in study_paths(folder):
        try:
            found += _settings(path, folder)
        except InputError as error:
            note(f"study {path.stem!r} is left out: {error}")
    return found


def _settings(path: Path, folder: Path) -> list[Setting]:
    file = read_study_record(path)
    metric = file.compare.metric
    known = {plan.id: _measured(folder / plan.id, metric) for plan in file.runs}
    results = [run.result for *_, run in known.values() if run and run.result]
    if results and all(value is None for value, *_ in known.values()):
        names = ", ".join(numbers_in(results[0]))
        raise InputError(
            f"{path}: the metric {metric!r} is no number of any result.json; they have {names}"
        )
    runs = [RunOutcome(plan, *known[plan.id]) for plan in file.runs]
    groups = grouped(runs, lambda run: run.plan.setting)
    return [Setting(file.name, name, file.compare, mine) for name, mine in groups.items()]


def _measured(folder: Path, metric: str) -> tuple[float | None, str, Run | None]:
    """The metric of the run in a folder, or why there is none, and the run."""
    try:
        if not has_run(folder):
            return None, "not begun", None
        run = read_run(folder)
    except InputError as error:
        return None, str(error).splitlines()[0], None
    if run.result is None:
        return None, (run.error or "not finished").splitlines()[0], run
    value = number_at(run.result, metric)
    return value, f"its {metric} is not a number" if value is None else "", run


def number_at(value: Any, key: str) -> float | None:
    """Read the finite number at a dotted key, such as ``scores.f1``."""
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if _is_number(value) else None


def numbers_in(result: Mapping[str, Any]) -> list[str]:
    """List the numbers of a result that a study could be judged by.

    >>> numbers_in({"val_loss": 2.0, "seed": 0, "scores": {"f1": 0.5}, "task": "squad"})
    ['val_loss', 'scores.f1']
    """
    scores = [f"{when}.{name}" for when in ("scores", "scores_initial")
              for name in result.get(when, {})]  # fmt: skip
    return [key for key in (*METRICS, *scores) if number_at(result, key) is not None]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
