"""Power of the tests of equality and of difference, and the units that they need for it."""

from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from promptpriors.analysis.significance import quantile
from promptpriors.analysis.simultaneous import critical_value

MAX_UNITS = 100_000  # an arm, beyond which the search ends


def equality_power(
    *, sd: float, units: int, arms: int, df: int, margin: float, alpha: float = 0.05
) -> float:
    """P(every pair passes TOST) where all arms are in truth the same.

    All pairs pass where the range W of the arms' means is at most margin − t · s · √(2/n):
    ∫ f(s) P(W ≤ …) ds, with P(W ≤ w) = k ∫ φ(x) (Φ(x + w) − Φ(x))^{k−1} dx for k standard normal
    variables (Hartley 1942). By Gauss–Legendre quadrature.

    Args:
        sd: spread of a unit about its arm's mean, blocks taken out.
        units: independent ones an arm, as many in each.
        arms: that are compared, pair by pair.
        df: degrees of freedom that ``sd`` is estimated with.
        margin: of equality, in the unit of ``sd``.
        alpha: level of each test.
    """
    error = sd / units**0.5
    cost = quantile(1 - alpha, df) * 2**0.5  # in units of the range, a unit of s / σ
    limit = margin / error
    spread, weights = _spreads(df, limit / cost)
    return float((weights * _range_cdf(limit - cost * spread, arms)).sum())


def difference_power(
    *, sd: float, units: int, arms: int, df: int, difference: float, level: float = 0.95
) -> float:
    """P(Dunnett's test finds an arm that differs by ``difference`` from the reference).

    Arguments as of ``equality_power``, the reference among the arms; ``difference`` is the true
    one, of one arm, and ``level`` the confidence of all comparisons together.
    """
    from scipy.special import ndtr

    critical = _dunnetts(arms, df, level)
    shift = abs(difference) / (sd * (2 / units) ** 0.5)
    spread, weights = _spreads(df, float("inf"))
    upper, lower = (ndtr(sign * shift - critical * spread) for sign in (1, -1))
    return float((weights * (upper + lower)).sum())


def units_needed(
    power: Callable[[int, int], float], df_of: Callable[[int], int], *, least: float = 0.8
) -> int | None:
    """Smallest number of units an arm whose power is ``least``, or None beyond ``MAX_UNITS``.

    Power goes by units and degrees of freedom, and rises in units.
    """
    high = 2
    while power(high, df_of(high)) < least:
        high *= 2
        if high > MAX_UNITS:
            return None
    between = range(high // 2 + 1, high)
    return between.start + bisect_left(between, least, key=lambda n: power(n, df_of(n)))


@cache
def _dunnetts(arms: int, df: int, level: float) -> float:
    """Dunnett's critical value for arms of one size."""
    half = torch.full((arms - 1, arms - 1), 0.5, dtype=torch.float64)
    return critical_value(half.fill_diagonal_(1), df, level=level)


def _spreads(df: int, most: float) -> tuple[Any, Any]:
    """Nodes of s / σ up to ``most``, with weights times the density of √(χ²(df) / df)."""
    from scipy.stats import chi

    scale = df**0.5
    low, high = (float(chi.ppf(share, df)) / scale for share in (1e-12, 1 - 1e-12))
    high = min(high, most)
    if high <= low:
        return np.zeros(1), np.zeros(1)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    spread = low + (nodes + 1) / 2 * (high - low)
    return spread, weights * (high - low) / 2 * chi.pdf(spread * scale, df) * scale


def _range_cdf(width: Any, count: int) -> Any:
    """P(range of ``count`` standard normal variables ≤ width), width ≥ 0."""
    from scipy.special import ndtr
    from scipy.stats import norm

    nodes, weights = np.polynomial.legendre.leggauss(400)
    x = 9 * nodes
    inside = ndtr(x + width[:, None]) - ndtr(x)
    return count * 9 * (weights * norm.pdf(x) * inside ** (count - 1)).sum(axis=1)
