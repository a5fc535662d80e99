"""The table of a study's curves: have they come to rest, and when do they reach a loss."""

from collections.abc import Mapping, Sequence

from promptpriors.analysis.plateau import Curve, mean_loss, rest, restricted_mean, steps_to
from promptpriors.analysis.pooled import Outcome, means_over, pool
from promptpriors.errors import InputError, note
from promptpriors.runs.tables import Cell
from promptpriors.verdicts.controls import Row, against, checked
from promptpriors.verdicts.judge import Judged
from promptpriors.verdicts.outcomes import RunOutcome, curve_of

METRIC = "val_loss"
"""The margin is in nats, as the curves are, where it is one of this."""
LESS = ("less reference", "less reference, low", "less reference, high")
"""Columns of an arm's steps less the reference's."""


def curves_of(judged: Judged) -> list[Mapping[str, Cell]]:
    """A row an arm whose runs have curves, and one for the reference's second name."""
    arms = {
        arm: {run.plan.id: (run, curve) for run in runs if (curve := _curve(run))}
        for arm, runs in judged.setting.by_arm("arm", "negative").items()
    }
    seen = {arm: list(mine.values()) for arm, mine in arms.items() if mine}
    ends = {
        arm: [curve[-1][1] for _, curve in seen[arm]]
        for arm in judged.setting.by_arm("arm")
        if arm in seen
    }
    if not ends:
        return []
    loss = max(sum(last) / len(last) for last in ends.values())
    horizon = min(curve[-1][0] for mine in seen.values() for _, curve in mine)
    reached = {arm: [steps_to(curve, loss) for _, curve in mine] for arm, mine in seen.items()}
    times = {
        arm: judged.setting.outcomes(
            [
                run._replace(value=float(horizon if step is None else min(step, horizon)))
                for (run, _), step in zip(mine, reached[arm], strict=True)
            ]
        )
        for arm, mine in seen.items()
    }
    less = _less(judged, times)
    return [
        {
            "arm": arm,
            "runs": len(mine),
            **_rest(judged, [curve for _, curve in mine]),
            "loss": loss,
            **_steps(times[arm], horizon),
            "censored": sum(step is None or step > horizon for step in reached[arm]),
            **dict(zip(LESS, less[arm][:3] if arm in less else (None,) * 3, strict=True)),
            "of steps": horizon,
            "mean loss": _mean([curve for _, curve in mine]),
        }
        for arm, mine in seen.items()
    ]


def _curve(run: RunOutcome) -> Curve:
    """Of a run that has its result; none where its records are damaged, which is said."""
    if run.value is None:
        return []
    try:
        return curve_of(run)
    except InputError as error:
        note(f"the curve of run {run.plan.id} is left out: {error}")
        return []


def _rest(judged: Judged, curves: Sequence[Curve]) -> dict[str, Cell]:
    at_rest, untold = 0, 0
    if judged.margin is None or not judged.setting.compare.metric.startswith(METRIC):
        return {"runs at rest": None, "too few evaluations": None}
    for curve in curves:
        try:
            at_rest += rest(curve, judged.margin).at_rest
        except InputError:
            untold += 1
    return {"runs at rest": at_rest, "too few evaluations": untold}


def _less(judged: Judged, times: Mapping[str, Sequence[Outcome]]) -> Mapping[str, Row]:
    """Each arm's steps less the reference's, as the arms' losses are compared."""
    arms = [arm for arm in times if arm not in judged.aside]
    try:
        reference = checked(judged.setting.compare.reference, judged.aside, arms)
        return against(pool([outcome for arm in arms for outcome in times[arm]]), reference)
    except InputError:
        return {}


def _steps(times: Sequence[Outcome], horizon: int) -> dict[str, Cell]:
    """The mean over the seeds that have all of the arm's rates, each averaged over those."""
    units, _ = means_over(times, list(dict.fromkeys(outcome.rate for outcome in times)))
    values = [unit.value for unit in units]
    record: dict[str, Cell] = dict.fromkeys(("steps to loss", "low", "high"))
    if len(values) > 1:
        record = dict(zip(record, restricted_mean(values, float(horizon)), strict=True))
    elif values:
        record["steps to loss"] = values[0]
    return record


def _mean(curves: Sequence[Curve]) -> float | None:
    found = [mean_loss(curve) for curve in curves if len(curve) > 1]
    return sum(found) / len(found) if found else None
