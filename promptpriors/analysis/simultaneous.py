"""Several differences tested together: p values and intervals adjusted by the largest |t|."""

from functools import cache
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.pooled import Contrasts
from promptpriors.errors import InputError

DIRECTIONS = 15  # of the sphere, as a power of 2
BINS = 256  # that neighbours among the max |A u| are averaged in; the scatter in one is negligible


class Simultaneous(NamedTuple):
    """Test and interval of every contrast, which hold together with the stated confidence.

    Attributes:
        p: adjusted.
        critical: what |t| must reach.
    """

    p: Float[Tensor, " k"]
    low: Float[Tensor, " k"]
    high: Float[Tensor, " k"]
    critical: float


def simultaneous(contrasts: Contrasts, *, level: float = 0.95) -> Simultaneous:
    """Single-step tests and intervals by the distribution of max |t|.

    Source: Hothorn, Bretz & Westfall 2008, section 4. With differences to one arm in a one-way
    layout these are Dunnett's (1955), with all pairs Tukey's. Variances must be positive.

    Raises:
        InputError: without contrasts.
    """
    if not len(contrasts.estimates):
        raise InputError("there is nothing to compare: expected one difference at least")
    errors = contrasts.errors
    correlation = contrasts.covariance / errors.outer(errors)
    p = largest_t(contrasts.estimates / errors, correlation, contrasts.df)
    critical = critical_value(correlation, contrasts.df, level=level)
    half = critical * errors
    return Simultaneous(p, contrasts.estimates - half, contrasts.estimates + half, critical)


def largest_t(
    values: Float[Tensor, " n"], correlation: Float[Tensor, "k k"], df: int
) -> Float[Tensor, " n"]:
    """P(max |T| ≥ |value|), T of a multivariate t distribution with k coordinates.

    With R = A Aᵀ of rank r, T = √(r F) · A u, u uniform on the sphere and F ~ F(r, df), so
    P = E[F̄(t² / (r · max|A u|²))]: exact in the radius, and in u a mean over 2¹⁵ scrambled Sobol
    directions, the same ones every time (Genz & Bretz 2009, section 4.2.1, have the integral).
    With one coordinate it is Student's t. R may be singular.
    """
    from scipy.stats import f

    reach, rank = _reach(correlation)
    bound = (values.double()[:, None] ** 2 / (rank * reach**2)).numpy()
    return torch.as_tensor(f.sf(bound, rank, df)).mean(dim=1)


def critical_value(correlation: Float[Tensor, "k k"], df: int, *, level: float = 0.95) -> float:
    """Value that max |T| exceeds with probability 1 − level.

    >>> round(critical_value(torch.eye(1, dtype=torch.float64), 10), 3)  # Student's t
    2.228
    """
    from scipy.optimize import brentq
    from scipy.stats import f, t

    reach, rank = _reach(correlation)
    scale: Any = (rank * reach**2).numpy()
    alpha = 1 - level
    alone, bonferroni = (float(t.isf(alpha / 2 / m, df)) for m in (1, len(correlation)))

    def excess(critical: float) -> float:
        return float(f.sf(critical**2 / scale, rank, df).mean()) - alpha

    return float(cast("Any", brentq(excess, 0.9 * alone, 1.1 * bonferroni, xtol=1e-10)))


def _reach(correlation: Tensor) -> tuple[Tensor, int]:
    """Max |A u| over directions u, sorted and averaged in bins, and the rank of A."""
    found = torch.linalg.eigh(correlation.double())
    kept = found.eigenvalues > 1e-9 * found.eigenvalues.max()
    factor = found.eigenvectors[:, kept] * found.eigenvalues[kept].sqrt()
    rank = int(kept.sum())
    reach = (factor @ _directions(rank)).abs().amax(dim=0)
    return reach.sort().values.view(BINS, -1).mean(dim=1), rank


@cache
def _directions(rank: int) -> Tensor:
    """Unit vectors [rank, 2¹⁵], spread evenly over the sphere."""
    import numpy as np
    from scipy.stats import norm, qmc

    sampler = qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(0))
    points = torch.as_tensor(norm.ppf(sampler.random_base2(DIRECTIONS).clip(1e-12, 1 - 1e-12)))
    return (points / points.norm(dim=1, keepdim=True)).T.contiguous()
