"""Several differences tested together: p values and intervals adjusted by the largest |t|."""

from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.largest import Tail, largest_tail
from promptpriors.analysis.pooled import Contrasts
from promptpriors.errors import InputError


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
    tail = largest_tail(correlation, contrasts.df)
    ratios = (contrasts.estimates / errors).tolist()
    p = torch.tensor([tail(abs(t)) for t in ratios], dtype=torch.float64)
    critical = _critical(tail, len(errors), contrasts.df, 1 - level)
    half = critical * errors
    return Simultaneous(p, contrasts.estimates - half, contrasts.estimates + half, critical)


def largest_t(
    values: Float[Tensor, " n"], correlation: Float[Tensor, "k k"], df: int
) -> Float[Tensor, " n"]:
    """P(max |T| ≥ |value|), T of a multivariate t distribution with k coordinates."""
    tail = largest_tail(correlation, df)
    return torch.tensor([tail(abs(value)) for value in values.tolist()], dtype=torch.float64)


def critical_value(correlation: Float[Tensor, "k k"], df: int, *, level: float = 0.95) -> float:
    """Value that max |T| exceeds with probability 1 − level.

    >>> round(critical_value(torch.eye(1, dtype=torch.float64), 10), 3)  # Student's t
    2.228
    """
    return _critical(largest_tail(correlation, df), len(correlation), df, 1 - level)


def _critical(tail: Tail, count: int, df: int, alpha: float) -> float:
    """The critical value lies between that of one coordinate and Bonferroni's."""
    from scipy.optimize import brentq
    from scipy.stats import t

    alone, bonferroni = (float(t.isf(alpha / 2 / m, df)) for m in (1, count))
    found = brentq(lambda c: tail(c) - alpha, 0.99 * alone, 1.01 * bonferroni, xtol=1e-12)
    return float(cast("Any", found))
