"""A value against another over runs whose arm, rate and seed are taken out of both."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.experiments.compare.recorded import Recorded


class Slope(NamedTuple):
    """How much the value moves when the regressor moves by its spread within cells.

    Attributes:
        effect: slope × the regressor's standard deviation within arm × rate and seed.
        low: of its t interval.
        high: of its t interval.
        p: that there is no slope.
        runs: that both values are known of.
    """

    effect: float
    low: float
    high: float
    p: float
    runs: int


def slope(values: Sequence[Recorded], regressors: Sequence[Recorded], *, level: float) -> Slope:
    """Value ~ arm × rate + seed + regressor by least squares (Frisch–Waugh–Lovell).

    Args:
        values: runs with the value.
        regressors: the same runs with the regressor.
        level: of the interval.

    Raises:
        InputError: where too few runs have both, or the regressor does not vary within cells.
    """
    pairs = [
        (v.plan, v.value, r.value)
        for v, r in zip(values, regressors, strict=True)
        if v.value is not None and r.value is not None
    ]
    cells = list(dict.fromkeys((plan.arm, plan.rate) for plan, _, _ in pairs))
    seeds = list(dict.fromkeys(plan.seed for plan, _, _ in pairs))
    design = torch.zeros(len(pairs), len(cells) + len(seeds) - 1, dtype=torch.float64)
    for row, (plan, _, _) in enumerate(pairs):
        design[row, cells.index((plan.arm, plan.rate))] = 1
        if seeds.index(plan.seed):
            design[row, len(cells) + seeds.index(plan.seed) - 1] = 1
    df = len(pairs) - design.shape[1] - 1
    if df < 2:
        raise InputError(
            f"{len(pairs)} runs are too few for a slope beside {len(cells)} cells of arm and rate; "
            "expected more seeds"
        )
    y, x = (
        _without(torch.tensor([pair[i] for pair in pairs], dtype=torch.float64), design)
        for i in (1, 2)
    )
    size = float(x.square().sum())
    if size <= 1e-18 * len(pairs):
        raise InputError("the regressor does not vary within cells")
    found = float(x @ y) / size
    rest = float((y - found * x).square().sum()) / df
    spread, error = (size / (df + 1)) ** 0.5, (rest / size) ** 0.5
    half = float(stats.t.ppf((1 + level) / 2, df)) * error
    p = 2 * float(stats.t.sf(abs(found) / error, df)) if error else 0.0
    return Slope(found * spread, (found - half) * spread, (found + half) * spread, p, len(pairs))


def _without(values: Tensor, design: Tensor) -> Tensor:
    """What least squares on the design leaves of the values."""
    return values - design @ torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
