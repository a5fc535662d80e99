"""The table of variance components: arm, rate, order of the data, draw, and the rest."""

from collections.abc import Mapping

import torch

from promptpriors.analysis.components import components
from promptpriors.errors import InputError
from promptpriors.runs.tables import Cell
from promptpriors.verdicts.judge import Judged
from promptpriors.verdicts.outcomes import draw_of


def sources_of(judged: Judged) -> list[Mapping[str, Cell]]:
    """A row a source, the residual last."""
    runs = [
        run
        for arm, mine in judged.setting.by_arm("arm").items()
        if arm not in judged.aside
        for run in mine
        if run.value is not None
    ]
    factors = {
        "arm": [run.plan.arm for run in runs],
        "rate": [run.plan.rate for run in runs],
        "order": [str(run.plan.seed) for run in runs],
        "draw": [draw_of(run.plan) for run in runs],
    }
    varied = {name for name, levels in factors.items() if len(set(levels)) > 1}
    words = _terms(varied, crossed=judged.setting.crossed)
    try:
        values = torch.tensor([run.value for run in runs], dtype=torch.float64)
        found = components(values, factors, list(words))
    except InputError as error:
        return [{"source": "none", "note": str(error).splitlines()[0]}]
    return [
        {
            "source": words.get(c.source, c.source),
            "variance": c.variance,
            "share": c.share,
            "df": c.df,
            "note": c.note,
        }
        for c in found
    ]


def _terms(varied: set[str], *, crossed: bool) -> dict[str, str]:
    """Terms and what they are called.

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
