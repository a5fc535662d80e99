"""Curves of a study in one setting: mean losses by arm and rate, and runs that are in none."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from promptpriors.analysis.plateau import MeanCurve, mean_curve
from promptpriors.figures.bands import Level
from promptpriors.figures.loss import evaluations
from promptpriors.report.formatting import fixed, whole
from promptpriors.report.tables import ShownCell
from promptpriors.runs import Run
from promptpriors.runs.labels import grouped
from promptpriors.runs.studies import BASELINES, StudyRun

BEST = "best"


class Lost(NamedTuple):
    """Run that is in no curve; None where it has no folder.

    ``status`` is ``failed``, ``unfinished``, ``missing``, ``without evaluations``, or ``no step in
    common`` with the other seeds of its arm and rate.
    """

    member: StudyRun
    status: str
    run: Run | None


@dataclass(frozen=True)
class Curves:
    """Curves of a setting, lines across them, and runs that are in neither.

    Attributes:
        curves: of each arm and rate, arms in the order of the study.
        choices: for each curve the choices under which it is shown.
        levels: validation losses of baselines and ceilings.
        members: how many runs the study has in the setting.
    """

    curves: list[MeanCurve]
    choices: list[list[str]]
    rates: list[str]
    levels: list[Level]
    lost: list[Lost]
    members: int

    @property
    def options(self) -> list[tuple[str, str]]:
        """Choices of the selector with their texts."""
        return [(BEST, "the best of each arm"), *((rate, rate) for rate in self.rates)]

    @property
    def rows(self) -> list[tuple[MeanCurve, list[ShownCell]]]:
        """Rows of the table of values: runs, losses by time, and the interval at the end."""
        return [(found, _cells(found)) for found in self.curves]


def curves_of(
    members: Sequence[StudyRun], runs: Mapping[str, Run], best: Mapping[str, str | None]
) -> Curves:
    """Average the curves of a study's runs in a setting.

    ``best`` is the best rate of an arm; where there is none, that of the lowest mean loss counts.
    """
    trained = {m.id: runs[m.id] for m in members if m.kind not in BASELINES and m.id in runs}
    measured = {key: evaluations(run) for key, run in trained.items() if run.status == "done"}
    status = [_status(runs.get(member.id), measured.get(member.id)) for member in members]
    pairs = list(zip(members, status, strict=True))
    lost = [Lost(member, found, runs.get(member.id)) for member, found in pairs if found != "done"]
    done = [member for member, found in pairs if found == "done"]
    arms = _by_rate(member for member in done if member.kind not in BASELINES)
    # the positive control adds no rate to choose from
    shown = (m.rate for m in done if m.kind in {"arm", "negative"} and m.rate)
    rates = list(dict.fromkeys(shown))
    curves, choices = [], []
    for (_, arm), by_rate in arms.items():
        lowest = min(by_rate, key=lambda rate: _loss(by_rate[rate], runs))
        chosen = best[arm] if best.get(arm) in by_rate else lowest
        for rate, mine in by_rate.items():
            drawn = mean_curve(arm, rate, [measured[member.id] for member in mine])
            if drawn is None:
                lost += [Lost(member, "no step in common", runs[member.id]) for member in mine]
                continue
            curves.append(drawn)
            choices.append([BEST] * (rate == chosen) + (rates if len(by_rate) == 1 else [rate]))
    return Curves(curves, choices, rates, _levels(done, runs), lost, len(members))


def _cells(found: MeanCurve) -> list[ShownCell]:
    low, high = (found.low[-1], found.high[-1]) if found.low else (None, None)
    half = bisect_left(found.steps, found.steps[-1] / 2)
    losses = (found.mean[0], found.mean[half], found.mean[-1], low, high)
    cells = [ShownCell("" if v is None else f"{v:.7g}", fixed(v)) for v in losses]
    return [ShownCell(str(found.runs), whole(found.runs)), *cells]


def _by_rate(members: Iterable[StudyRun]) -> dict[tuple[str, str], dict[str, list[StudyRun]]]:
    """Runs by kind and arm, and by rate."""
    by_arm = grouped(members, lambda member: (member.kind, member.arm))
    return {key: grouped(mine, lambda member: member.rate) for key, mine in by_arm.items()}


def _status(run: Run | None, measured: Mapping[int, float] | None) -> str:
    if run is None:
        return "missing"
    return "without evaluations" if measured == {} else run.status


def _loss(members: Sequence[StudyRun], runs: Mapping[str, Run]) -> float:
    """The mean loss at the end; infinite where one is no number."""
    values = [(runs[member.id].result or {}).get("val_loss") for member in members]
    return mean(float("inf") if value is None else float(value) for value in values)


def _levels(done: Sequence[StudyRun], runs: Mapping[str, Run]) -> list[Level]:
    """The floor from the baseline without a prompt or what runs stored of it; the best ceiling."""
    levels: list[Level] = []
    baselines = _by_rate(member for member in done if member.kind in BASELINES)
    for (kind, arm), by_rate in baselines.items():
        value = min(_loss(mine, runs) for mine in by_rate.values())
        if kind == "ceiling":
            levels.append(Level(f"ceiling: {arm}", value, "ceiling"))
        elif arm == "none":
            levels.append(Level("floor: no prompt", value, "floor"))
        else:
            levels.append(Level(arm, value, "text"))
    if not any(level.role == "floor" for level in levels):
        stored = [(runs[member.id].result or {}).get("val_loss_none") for member in done]
        values = [float(value) for value in stored if value is not None]
        if values:
            levels.insert(0, Level("floor: no prompt", mean(values), "floor"))
    return [level for level in levels if level.value < float("inf")]
