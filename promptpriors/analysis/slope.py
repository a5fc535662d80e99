"""Least-squares slope of one value on another, with cells and blocks taken out of both."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from promptpriors.analysis.components import indicator
from promptpriors.analysis.significance import student_interval
from promptpriors.errors import InputError


class Slope(NamedTuple):
    """Movement of the value when the regressor moves by its spread within cells.

    Attributes:
        effect: slope × the regressor's standard deviation within arm × rate and seed.
        low: of its t interval.
        p: that there is no slope.
        runs: that both values are known of.
    """

    effect: float
    low: float
    high: float
    p: float
    runs: int


def slope(
    values: Sequence[float | None],
    regressors: Sequence[float | None],
    cells: Sequence[Hashable],
    blocks: Sequence[Hashable],
    *,
    level: float,
) -> Slope:
    """Value ~ cell + block + regressor by least squares (Frisch–Waugh–Lovell).

    All are one a run, values and regressors None where not known. Cells are arm and rate, blocks
    the seed.

    Raises:
        InputError: where too few runs have both, or the regressor does not vary within cells.
    """
    from scipy.stats import t

    rows = [
        (value, regressor, cell, block)
        for value, regressor, cell, block in zip(values, regressors, cells, blocks, strict=True)
        if value is not None and regressor is not None
    ]
    kinds = {row[2] for row in rows}
    seeds = {row[3] for row in rows}
    df = len(rows) - len(kinds) - len(seeds)
    if df < 2:
        raise InputError(
            f"{len(rows)} runs are too few for a slope beside {len(kinds)} cells of arm and rate; "
            "expected more seeds"
        )
    cell, block = indicator([row[2] for row in rows]), indicator([row[3] for row in rows])
    design = torch.cat([cell, block[:, 1:]], dim=1)
    y, x = _without(design, [row[0] for row in rows]), _without(design, [row[1] for row in rows])
    size = float(x.square().sum())
    if size <= 1e-18 * len(rows):
        raise InputError("the regressor does not vary within cells")
    found = float(x @ y) / size
    rest = float((y - found * x).square().sum()) / df
    spread, error = (size / (df + 1)) ** 0.5, (rest / size) ** 0.5
    _, low, high = student_interval(found, error, df, level)
    p = 2 * float(t.sf(abs(found) / error, df)) if error else 0.0
    return Slope(found * spread, low * spread, high * spread, p, len(rows))


def _without(design: Tensor, values: Sequence[float]) -> Tensor:
    """Residuals of least squares on the design."""
    y = torch.tensor(values, dtype=torch.float64)
    return y - design @ torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
