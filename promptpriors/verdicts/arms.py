"""The table of a study's arms: how good each is, and what is missing of it."""

from collections.abc import Mapping, Sequence

import torch

from promptpriors.analysis.pooled import means_over
from promptpriors.analysis.significance import t_interval
from promptpriors.runs.studies import Kind
from promptpriors.runs.tables import Cell
from promptpriors.verdicts.judge import Judged, best_rate
from promptpriors.verdicts.outcomes import RunOutcome

KINDS: tuple[Kind, ...] = ("arm", "positive", "negative", "baseline", "ceiling")


def arms_of(judged: Judged) -> list[Mapping[str, Cell]]:
    """A row an arm, control, baseline and ceiling."""
    return [
        _record(judged, arm, kind, runs)
        for kind in KINDS
        for arm, runs in judged.setting.by_arm(kind).items()
    ]


def _record(judged: Judged, arm: str, kind: str, runs: Sequence[RunOutcome]) -> Mapping[str, Cell]:
    best, scale = best_rate(judged.setting, runs), judged.scale
    moments = _moments(judged, arm, kind, runs)
    mean = moments["mean"]
    lost = [f"{run.plan.id}: {run.reason}" for run in runs if run.value is None]
    share = None if scale is None or mean is None else scale.share(float(mean))
    return {
        "arm": arm,
        "kind": kind,
        "runs": len(runs) - len(lost),
        "missing": len(lost),
        **moments,
        "best rate": best and best.rate,
        "mean at the best rate": best and best.mean,
        "share": share,
        "share at the best rate": best and scale and scale.share(best.mean),
        "missing runs": "; ".join(lost),
    }


def _moments(judged: Judged, arm: str, kind: str, runs: Sequence[RunOutcome]) -> dict[str, Cell]:
    """Of the arms from their common fit; of others over their own seeds."""
    outcomes = judged.setting.outcomes(runs)
    pooled = judged.pooled
    if kind != "arm" or pooled is None or arm not in pooled.arms:
        rates, aside = list(dict.fromkeys(outcome.rate for outcome in outcomes)), []
        fitted = None
    else:
        rates, aside = pooled.rates, pooled.aside
        fitted = pooled.interval(arm)
    units, _ = means_over(outcomes, rates)
    values = torch.tensor([unit.value for unit in units], dtype=torch.float64)
    record: dict[str, Cell] = dict.fromkeys(("mean", "low", "high", "sd"))
    if fitted is None and len(values) > 1:
        fitted = t_interval(values)
    if fitted is not None:
        record |= {"mean": fitted.estimate, "low": fitted.low, "high": fitted.high}
    elif len(values):
        record["mean"] = float(values[0])
    return record | {
        "sd": float(values.std()) if len(values) > 1 else None,
        "seeds": len(values),
        "rates": len(rates),
        "rates left out": ", ".join(aside),
    }
