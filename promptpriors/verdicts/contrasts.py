"""Arms of a setting, their differences to the reference, and pairs of arms."""

from collections.abc import Sequence
from itertools import combinations

import torch

from promptpriors.analysis.pooled import means_over
from promptpriors.analysis.significance import quantile, t_interval
from promptpriors.runs.studies import BASELINES, CONTROLS, Kind
from promptpriors.runs.study_results import (
    AllPairs,
    Arm,
    Contrast,
    ContrastState,
    Difference,
    MissingRun,
    Pair,
    PairState,
    Verdict,
)
from promptpriors.verdicts.controls import ALPHA, differences_of, differs
from promptpriors.verdicts.judge import SettingStatistics, best_rate
from promptpriors.verdicts.outcomes import RunOutcome

ARMS: tuple[Kind, ...] = ("arm", *CONTROLS)


def arms_of(statistics: SettingStatistics) -> list[Arm]:
    """List every arm with means of their common fit, and others with those of their own seeds."""
    return [
        _arm(statistics, arm, kind, runs)
        for kind in (*ARMS, *BASELINES)
        for arm, runs in statistics.setting.by_arm(kind).items()
    ]


def _arm(statistics: SettingStatistics, arm: str, kind: Kind, runs: Sequence[RunOutcome]) -> Arm:
    setting, pooled, scale = statistics.setting, statistics.pooled, statistics.scale
    outcomes = setting.outcomes(runs)
    if kind == "arm" and pooled is not None and arm in pooled.arms:
        rates, excluded, interval = pooled.rates, pooled.aside, pooled.interval(arm)
    else:
        rates, excluded, interval = list(dict.fromkeys(o.rate for o in outcomes)), [], None
    units, _ = means_over(outcomes, rates)
    values = torch.tensor([unit.value for unit in units], dtype=torch.float64)
    if interval is None and len(values) > 1:
        interval = t_interval(values)
    mean = interval.estimate if interval else float(values[0]) if len(values) else None
    best = best_rate(setting, runs)
    missing = [MissingRun(id=r.plan.id, reason=r.reason) for r in runs if r.value is None]
    return Arm(
        arm=arm,
        kind=kind,
        runs=len(runs) - len(missing),
        missing=len(missing),
        mean=mean,
        low=interval and interval.low,
        high=interval and interval.high,
        sd=float(values.std()) if len(values) > 1 else None,
        seeds=len(values),
        rates=len(rates),
        rates_left_out=excluded,
        best_rate=best and best.rate,
        mean_at_the_best_rate=best and best.mean,
        share=None if scale is None or mean is None else scale.share(mean),
        share_at_the_best_rate=None if scale is None or best is None else scale.share(best.mean),
        missing_runs=missing,
    )


def contrasts_of(statistics: SettingStatistics) -> list[Contrast]:
    """Compare every arm and control with the reference."""
    setting = statistics.setting
    return [
        _contrast(statistics, arm, kind)
        for kind in ARMS
        for arm in setting.by_arm(kind)
        if arm != setting.compare.reference
    ]


def _contrast(statistics: SettingStatistics, arm: str, kind: Kind) -> Contrast:
    control = statistics.controls.get(kind)
    row = control.row if control else (statistics.differences or {}).get(arm)
    margin = statistics.margin
    state: ContrastState = "none"
    reason = statistics.gate
    if row is None:
        lacking = control.result.reason if control else statistics.aside.get(arm)
        reason = lacking or reason or statistics.lacking("differences")
    elif not reason and differs(row):
        state = "higher" if row.value > 0 else "lower"
    elif not reason:
        within = margin is not None and -margin < row.low and row.high < margin
        state = "equal" if within else "undecided"
    verdict = Verdict[ContrastState](state=state, reason=reason)
    return Contrast(arm=arm, kind=kind, difference=row, verdict=verdict)


def pairs_of(statistics: SettingStatistics) -> tuple[list[Pair], AllPairs | None]:
    """Compare every pair of arms, and all pairs together where there are any."""
    arms = list(statistics.setting.by_arm("arm"))
    if len(arms) < 2:
        return [], None
    differences, equality = _differences(statistics), statistics.equality
    tested = equality.pairs if equality else []
    states: dict[tuple[str, str], PairState] = {(p.first, p.second): p.verdict for p in tested}
    pairs: list[Pair] = []
    for pair in combinations(arms, 2):
        lacking = next((statistics.aside[arm] for arm in pair if arm in statistics.aside), "")
        verdict = _verdict(statistics, states.get(pair), lacking)
        difference = differences.get(pair)
        pairs.append(Pair(first=pair[0], second=pair[1], difference=difference, verdict=verdict))
    if equality is None:
        return pairs, AllPairs(p=None, verdict=_verdict(statistics, None))
    lacking = statistics.excluded if equality.verdict == "equal" and not statistics.gate else ""
    verdict = _verdict(statistics, equality.verdict, lacking)
    return pairs, AllPairs(p=equality.p, verdict=verdict)


def _verdict(
    statistics: SettingStatistics, state: PairState | None, lacking: str = ""
) -> Verdict[PairState]:
    reason = lacking or statistics.gate
    if state is None and not reason:
        reason = statistics.lacking("pooled", "scale") or "there is one arm"
    return Verdict[PairState](state="none" if state is None or reason else state, reason=reason)


def _differences(statistics: SettingStatistics) -> dict[tuple[str, str], Difference]:
    """Differences with their 90 % intervals; p where there is a margin."""
    pooled, equality = statistics.pooled, statistics.equality
    if pooled is None:
        return {}
    contrasts = pooled.differences(combinations(pooled.arms, 2))
    half = quantile(1 - ALPHA, pooled.df) * contrasts.errors
    p = {(pair.first, pair.second): pair.p for pair in (equality.pairs if equality else ())}
    low, high = contrasts.estimates - half, contrasts.estimates + half
    rows = differences_of(contrasts, low, high, [p.get(pair) for pair in contrasts.pairs])
    return dict(zip(contrasts.pairs, rows, strict=True))
