"""Curves of a setting: rest at the end of training, and steps to a common loss."""

from collections.abc import Mapping, Sequence

from promptpriors.analysis.plateau import Curve, mean_loss, rest, restricted_mean, steps_to
from promptpriors.analysis.pooled import Outcome, means_over, pool
from promptpriors.errors import InputError, note
from promptpriors.runs.study_results import Difference, Plateau
from promptpriors.verdicts.controls import against, checked
from promptpriors.verdicts.judge import SettingStatistics
from promptpriors.verdicts.outcomes import RunOutcome, curve_of


def plateaus_of(statistics: SettingStatistics) -> list[Plateau]:
    """Describe the curves of each arm, and of the reference's second name."""
    setting = statistics.setting
    seen: dict[str, dict[str, tuple[RunOutcome, Curve]]] = {}
    for arm, runs in setting.by_arm("arm", "negative").items():
        if mine := {run.plan.id: (run, curve) for run in runs if (curve := _curve(run))}:
            seen[arm] = mine
    curves = {arm: [curve for _, curve in mine.values()] for arm, mine in seen.items()}
    ends = [[c[-1][1] for c in curves[arm]] for arm in setting.by_arm("arm") if arm in seen]
    if not ends:
        return []
    loss = max(sum(last) / len(last) for last in ends)
    horizon = min(curve[-1][0] for mine in curves.values() for curve in mine)
    reached = {arm: [steps_to(curve, loss) for curve in mine] for arm, mine in curves.items()}
    times: dict[str, list[Outcome]] = {}
    for arm, mine in seen.items():
        steps = [float(horizon if s is None else min(s, horizon)) for s in reached[arm]]
        pairs = zip(mine.values(), steps, strict=True)
        times[arm] = setting.outcomes([run._replace(value=step) for (run, _), step in pairs])
    less = _less(statistics, times)
    found = []
    for arm, mine in curves.items():
        at_rest, too_few = _rest(statistics, mine)
        mean, low, high = _steps(times[arm], horizon)
        losses = [mean_loss(curve) for curve in mine if len(curve) > 1]
        found.append(
            Plateau(
                arm=arm,
                runs=len(mine),
                runs_at_rest=at_rest,
                too_few_evaluations=too_few,
                loss=loss,
                steps_to_loss=mean,
                low=low,
                high=high,
                censored=sum(step is None or step > horizon for step in reached[arm]),
                less_reference=less.get(arm),
                of_steps=horizon,
                mean_loss=sum(losses) / len(losses) if losses else None,
            )
        )
    return found


def _curve(run: RunOutcome) -> Curve:
    """Of a run that has its result; none where its records are damaged, which is said."""
    if run.value is None:
        return []
    try:
        return curve_of(run)
    except InputError as error:
        note(f"the curve of run {run.plan.id} is left out: {error}")
        return []


def _rest(
    statistics: SettingStatistics, curves: Sequence[Curve]
) -> tuple[int, int] | tuple[None, None]:
    """Numbers of curves at rest and of those with too few evaluations."""
    margin = statistics.margin
    if margin is None or not statistics.setting.compare.metric.startswith("val_loss"):
        return None, None  # the margin is not in nats, as the curves are
    at_rest, too_few = 0, 0
    for curve in curves:
        try:
            at_rest += rest(curve, margin).at_rest
        except InputError:
            too_few += 1
    return at_rest, too_few


def _less(
    statistics: SettingStatistics, times: Mapping[str, Sequence[Outcome]]
) -> Mapping[str, Difference]:
    """Each arm's steps less the reference's, as the arms' losses are compared."""
    arms = [arm for arm in times if arm not in statistics.aside]
    try:
        reference = checked(statistics.setting.compare.reference, statistics.aside, arms)
        return against(pool([outcome for arm in arms for outcome in times[arm]]), reference)
    except InputError:
        return {}


def _steps(
    times: Sequence[Outcome], horizon: int
) -> tuple[float | None, float | None, float | None]:
    """Mean and interval over the seeds that have all of the arm's rates, averaged over those."""
    units, _ = means_over(times, list(dict.fromkeys(outcome.rate for outcome in times)))
    values = [unit.value for unit in units]
    if len(values) > 1:
        return restricted_mean(values, float(horizon))
    return (values[0] if values else None), None, None
