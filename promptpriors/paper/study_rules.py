"""Rules that judge a claim by a study, with one statistic each."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from scipy import stats

from promptpriors.analysis.equality import equality
from promptpriors.analysis.pooled import Contrasts, pool
from promptpriors.analysis.significance import t_interval
from promptpriors.analysis.simultaneous import simultaneous
from promptpriors.analysis.slope import slope
from promptpriors.errors import InputError
from promptpriors.paper.claims import judged
from promptpriors.paper.values import Address, hint, label_of, valued
from promptpriors.runs.claims import Evidence, Verdict
from promptpriors.runs.studies import StudyRun
from promptpriors.verdicts.judge import judge
from promptpriors.verdicts.outcomes import RunOutcome, Setting

Key = TypeVar("Key", int, str)


def level(
    setting: Setting,
    arms: Sequence[str],
    *,
    value: Address,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Evidence:
    """Compare the mean of a value over seeds with a bound.

    Arms and rates are averaged first. Confirmed if the t interval lies beyond the bound, refuted if
    it lies on the other side.
    """
    runs = _valued(setting, arms, value)
    units = _values(runs, lambda plan: plan.seed)
    means = [sum(values) / len(values) for values in units.values()]
    found = t_interval(torch.tensor(means, dtype=torch.float64))
    reason = f"{len(means)} seeds, {_counted(runs)}"
    verdict = _beyond(found.low, found.high, at_least, at_most)
    return judged(verdict, reason, found.estimate, (found.low, found.high))


def equal(setting: Setting, arms: Sequence[str]) -> Evidence:
    """Test all pairs of the arms for equality within the study's margin.

    By two one-sided tests each. Confirmed if all pairs are, refuted if one pair differs by more;
    undecided without controls.
    """
    result = judge(setting)
    if result.margin is None:
        return judged("undecided", result.reasons.get("scale", "no margin"))
    kept = [arm for arm in arms if arm not in result.aside]
    pooled = pool(setting.outcomes(_runs(setting, kept)))
    found = equality(pooled, result.margin, arms=kept)
    widest = max(found.pairs, key=lambda pair: abs(pair.difference))
    pair = f"{widest.first} and {widest.second}"
    reason = f"margin {result.margin:.4f} nats; the widest pair is {pair}"
    verdicts: dict[str, Verdict] = {"equal": "confirmed", "different": "refuted"}
    verdict = verdicts.get(found.verdict, "undecided")
    if result.gate:
        verdict, reason = "undecided", f"none: {result.gate}; {reason}"
    return judged(verdict, reason, widest.difference, (widest.low, widest.high), p=found.p)


def difference(
    setting: Setting,
    arms: Sequence[str],
    *,
    value: Address,
    reference: str,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Evidence:
    """Compare the mean of the arms less a reference with a bound."""
    names, runs, contrasts = _contrasts(setting, arms, value, reference)
    weights = torch.full((len(names),), 1 / len(names), dtype=torch.float64)
    estimate = float(weights @ contrasts.estimates)
    error = float(weights @ contrasts.covariance @ weights) ** 0.5
    several = " and ".join(names)
    one = contrasts._replace(
        pairs=[(several, reference)],
        estimates=torch.tensor([estimate], dtype=torch.float64),
        covariance=torch.tensor([[error**2]], dtype=torch.float64),
    )
    found = simultaneous(one)
    low, high = float(found.low[0]), float(found.high[0])
    verdict = _beyond(low, high, at_least, at_most)
    reason = f"{several} less {reference}; {_counted(runs)}"
    return judged(verdict, reason, estimate, (low, high), p=float(found.p[0]))


def changes(
    setting: Setting, arms: Sequence[str], *, value: Address, reference: str, margin: float
) -> Evidence:
    """Test each arm for a change of a value against the reference.

    By Dunnett's test. Confirmed if one differs, refuted if every simultaneous interval lies within
    ± margin.
    """
    names, runs, contrasts = _contrasts(setting, arms, value, reference)
    found = simultaneous(contrasts)
    most = int(found.p.argmin())
    within = bool(((found.low > -margin) & (found.high < margin)).all())
    p = float(found.p[most])
    verdict: Verdict = "confirmed" if p <= 0.05 else "refuted" if within else "undecided"
    interval = (float(found.low[most]), float(found.high[most]))
    reason = f"most: {names[most]} less {reference}; {_counted(runs)}"
    return judged(verdict, reason, float(contrasts.estimates[most]), interval, p=p)


def unrelated(
    setting: Setting,
    arms: Sequence[str],
    *,
    value: Address,
    on: list[Address],
    margin: float | None = None,
) -> Evidence:
    """Test that a value is unrelated to others at equal arm, rate and seed.

    By least squares: of each regressor the slope times its spread within cells, with a Bonferroni
    interval. Confirmed if all lie within ± margin, refuted if one lies beyond, otherwise undecided.
    Without a margin it is the study's.
    """
    margin = judge(setting).margin if margin is None else margin
    if margin is None:
        raise InputError("the study has no margin: floor or ceiling are missing")
    losses, each = _valued(setting, arms, value), 1 - 0.05 / len(on)
    cells = [(run.plan.arm, run.plan.rate) for run in losses]
    seeds = [run.plan.seed for run in losses]
    y = [run.value for run in losses]
    xs = ([run.value for run in _valued(setting, arms, name)] for name in on)
    slopes = [slope(y, x, cells, seeds, level=each) for x in xs]
    most = max(range(len(on)), key=lambda i: abs(slopes[i].effect))
    within = all(-margin < s.low and s.high < margin for s in slopes)
    beyond = any(s.low > margin or s.high < -margin for s in slopes)
    verdict: Verdict = "confirmed" if within else "refuted" if beyond else "undecided"
    found = slopes[most]
    reason = "; ".join(
        f"{label_of(name)}: {s.effect:+.4f} ({s.low:+.4f} to {s.high:+.4f}) over {s.runs} runs"
        for name, s in zip(on, slopes, strict=True)
    )
    return judged(verdict, reason, found.effect, (found.low, found.high), p=found.p)


def steadiest(setting: Setting, arms: Sequence[str], *, value: Address, rate: str) -> Evidence:
    """Test that a value spreads least at one rate, over arms and seeds.

    By Brown and Forsythe's test. The statistic is the standard deviation there over the least of
    the other rates. Confirmed if it is less than at every other rate, each at 5 %; refuted if it is
    more than at one of them, at 5 % divided by their number.
    """
    values = _values(_valued(setting, arms, value), lambda plan: plan.rate)
    if rate not in values or len(values) < 2 or min(map(len, values.values())) < 3:
        shown = ", ".join(f"{name}: {len(mine)} runs" for name, mine in values.items())
        raise InputError(f"expected {rate!r} and other rates with 3 runs each, found {shown}")
    spread = {name: float(torch.tensor(mine).std()) for name, mine in values.items()}
    others = [name for name in values if name != rate]
    p = {name: float(stats.levene(values[rate], values[name]).pvalue) for name in others}
    least = min(others, key=lambda name: spread[name])
    worse = [n for n in others if spread[n] < spread[rate] and p[n] <= 0.05 / len(others)]
    better = all(spread[n] > spread[rate] and p[n] <= 0.05 for n in others)
    verdict: Verdict = "confirmed" if better else "refuted" if worse else "undecided"
    reason = ", ".join(f"{name}: {sd:.4f}" for name, sd in spread.items())
    ratio = spread[rate] / spread[least]
    return judged(verdict, f"standard deviations at {reason}", ratio, p=p[least])


RULES: dict[str, Callable[..., Evidence]] = {
    "level": level,
    "equal": equal,
    "difference": difference,
    "changes": changes,
    "unrelated": unrelated,
    "steadiest": steadiest,
}
"""Name to ``rule(setting, arms, *, …) -> Evidence``; the keywords are those of an analysis."""


def _runs(setting: Setting, arms: Sequence[str]) -> list[RunOutcome]:
    by_arm = setting.by_arm("arm", "positive", "negative")
    missing = [arm for arm in arms if arm not in by_arm]
    if missing:
        raise InputError(
            f"study {setting.study!r} has no arm {missing[0]!r}; it has {', '.join(by_arm)}"
        )
    return [run for arm in arms for run in by_arm[arm]]


def _valued(setting: Setting, arms: Sequence[str], value: str) -> list[RunOutcome]:
    runs = valued(_runs(setting, arms), value)
    if all(run.value is None for run in runs):
        raise InputError(f"no run of study {setting.study!r} has {value}.{hint(runs, value)}")
    return runs


def _contrasts(
    setting: Setting, arms: Sequence[str], value: str, reference: str
) -> tuple[list[str], list[RunOutcome], Contrasts]:
    """Arms beside the reference, their runs and its, and the arms' differences to it."""
    names = [arm for arm in arms if arm != reference]
    runs = _valued(setting, [*names, reference], value)
    pooled = pool(setting.outcomes(runs))
    return names, runs, pooled.differences((name, reference) for name in names)


def _values(runs: Sequence[RunOutcome], key: Callable[[StudyRun], Key]) -> dict[Key, list[float]]:
    values: dict[Key, list[float]] = {}
    for run in runs:
        if run.value is not None:
            values.setdefault(key(run.plan), []).append(run.value)
    return values


def _counted(runs: Sequence[RunOutcome]) -> str:
    return f"{sum(run.value is not None for run in runs)} of {len(runs)} runs"


def _beyond(low: float, high: float, at_least: float | None, at_most: float | None) -> Verdict:
    """By the side of a bound on which an interval lies."""
    if at_least is not None and at_most is None:
        return "confirmed" if low >= at_least else "refuted" if high < at_least else "undecided"
    if at_most is not None and at_least is None:
        return "confirmed" if high <= at_most else "refuted" if low > at_most else "undecided"
    raise InputError("a rule with a bound needs one of at_least and at_most")
