"""Spread between runs: power of a study's tests, and sources of variance."""

from collections.abc import Callable
from itertools import chain

import torch

from promptpriors.analysis.components import components
from promptpriors.analysis.power import difference_power, equality_power, units_needed
from promptpriors.errors import InputError
from promptpriors.runs.study_results import Component, Components, Power
from promptpriors.verdicts.controls import ALPHA
from promptpriors.verdicts.judge import SettingStatistics
from promptpriors.verdicts.outcomes import draw_of


def power_of(statistics: SettingStatistics) -> Power:
    """Compute the power of a study of this size, and the size that 80 % would take."""
    pooled, margin = statistics.pooled, statistics.margin
    if pooled is None:
        return Power(reason=statistics.reasons["pooled"])
    sd, df, seeds = pooled.sd, pooled.df, min(pooled.units.values())
    arms = len(pooled.arms)
    if margin is None or arms < 2:
        reason = statistics.reasons.get("scale", "there is one arm")
        return Power(residual_sd=sd, df=df, seeds=seeds, reason=reason)

    def equal(n: int, df: int) -> float:
        return equality_power(sd=sd, units=n, arms=arms, df=df, margin=margin, alpha=ALPHA)

    def differs(n: int, df: int) -> float:
        level = 1 - ALPHA
        return difference_power(sd=sd, units=n, arms=arms, df=df, difference=margin, level=level)

    def df_of(n: int) -> int:
        return (arms - 1) * (n - 1) if pooled.blocks else arms * (n - 1)

    def runs_needed(power: Callable[[int, int], float]) -> int | None:
        needed = units_needed(power, df_of)
        return None if needed is None else needed * len(pooled.rates)

    return Power(
        residual_sd=sd,
        df=df,
        seeds=seeds,
        equality=equal(seeds, df),
        equality_runs=runs_needed(equal),
        difference=differs(seeds, df),
        difference_runs=runs_needed(differs),
    )


def components_of(statistics: SettingStatistics) -> Components:
    """Split the variance between runs by source, the residual last."""
    every = chain.from_iterable(statistics.setting.by_arm("arm").values())
    runs = [r for r in every if r.plan.arm not in statistics.aside and r.value is not None]
    factors = {
        "arm": [run.plan.arm for run in runs],
        "rate": [run.plan.rate for run in runs],
        "order": [str(run.plan.seed) for run in runs],
        "draw": [draw_of(run.plan) for run in runs],
    }
    varied = {name for name, levels in factors.items() if len(set(levels)) > 1}
    names = _terms(varied, crossed=statistics.setting.crossed)
    try:
        values = torch.tensor([run.value for run in runs], dtype=torch.float64)
        found = components(values, factors, list(names))
    except InputError as error:
        return Components(sources=[], reason=str(error).splitlines()[0])
    rows = [row._asdict() | {"source": names.get(row.source, row.source)} for row in found]
    return Components(sources=[Component.model_validate(row) for row in rows])


def _terms(varied: set[str], *, crossed: bool) -> dict[str, str]:
    """Terms and their names.

    One seed mostly decides draw and order. What it does to all arms alike is put down to the order,
    what it does to one arm alone to the draw; with one rate the latter is in the residual.
    """
    found = {name: name for name in ("arm", "rate") if name in varied}
    if {"arm", "rate"} <= varied:
        found["arm:rate"] = "arm × rate"
    several = "arm" in varied
    within = "arm:draw" if several else "draw"
    if crossed:
        return found | {"order": "order", within: "draw"}
    seed = "draw" if "draw" in varied else "order" if "order" in varied else None
    if seed is None:
        return found
    if several:
        both = {"order", "draw"} <= varied
        found[seed] = "seed, all arms alike (order)" if both else f"{seed}, all arms alike"
        if "rate" in varied:
            found[f"arm:{seed}"] = "seed within an arm (draw)" if both else f"{seed} within an arm"
    elif "rate" in varied:
        found[seed] = "seed"
    return found
