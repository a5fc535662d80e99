"""Tests and intervals of effects over independent units.

Units are documents for claims about activations and runs for claims about prompts, never tokens or
vectors: average over those first.
"""

import math
from collections.abc import Callable
from itertools import count
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.analysis.two_sample import Test
from promptpriors.errors import InputError
from promptpriors.geometry import check_points


def sign_flip_test(
    values: Float[Tensor, " n"], *, generator: Generator, flips: int = 9999, level: float = 0.05
) -> Test:
    """Mean of independent values, each symmetric about 0 under the null, against 0.

    Values are one a unit, such as a difference within a pair. Two-sided: p is the share of sign
    changes whose mean is at least as far from 0; it must be able to reach ``level``. All 2ⁿ are
    looked at where they are no more than ``flips``.

    Raises:
        InputError: for too few values, or one that is not finite.
    """
    check_points(values, "a test", least=0)
    refuse_few(len(values), "values", lambda n: 2.0 ** (1 - n), level)
    exact = values.double()
    p = permuted([exact], lambda x, axis: abs(x.mean(axis)), "samples", flips, generator)
    return Test(float(exact.mean()), p)


def label_test(
    x: Float[Tensor, " n"],
    y: Float[Tensor, " m"],
    *,
    generator: Generator,
    permutations: int = 9999,
    level: float = 0.05,
) -> Test:
    """Difference of means x̄ − ȳ, of one value a unit, against labels drawn at random; two-sided.

    Under the null all n + m values are of one distribution. All divisions are looked at where they
    are no more than ``permutations``. p must be able to reach ``level``.

    Raises:
        InputError: for too few values, or one that is not finite.
    """
    if _least_of_labels(len(x), len(y)) > level:
        smaller = min(len(x), len(y))
        refuse_few(smaller, "values a side", lambda n: _least_of_labels(n, n), level)
    for side in (x, y):
        check_points(side, "a test of two sides", least=2)
    values = [x.double(), y.double()]

    def size(x: Any, y: Any, axis: int) -> Any:
        return abs(x.mean(axis) - y.mean(axis))

    p = permuted(values, size, "independent", permutations, generator)
    return Test(float(values[0].mean() - values[1].mean()), p)


def monte_carlo_p(
    observed: float,
    nulls: Float[Tensor, " n"],
    *,
    side: Literal["greater", "less", "both"] = "greater",
) -> float:
    """(1 + nulls that are at least as extreme) / (1 + nulls); both sides: twice the lesser one.

    Nulls are the observed statistic of independent draws under the null.

    Source: Davison & Hinkley 1997, equation 4.11.

    >>> monte_carlo_p(9.0, torch.arange(19.0), side="less")
    0.55

    Raises:
        InputError: where the statistic or a null is no number.
    """
    if math.isnan(observed) or bool(nulls.isnan().any()):
        raise InputError("p of a statistic that is no number: give it points that are finite")
    greater, less = (
        (1 + int(reached.sum())) / (1 + len(nulls))
        for reached in (nulls >= observed, nulls <= observed)
    )
    return {"greater": greater, "less": less, "both": min(1.0, 2 * min(greater, less))}[side]


class Interval(NamedTuple):
    """Estimate and where the truth lies with the stated confidence."""

    estimate: float
    low: float
    high: float


def t_interval(values: Float[Tensor, " n"], *, level: float = 0.95) -> Interval:
    """Mean ± t(n − 1) · s / √n, of one value a unit.

    Raises:
        InputError: for fewer than 2 values, or one that is not finite.
    """
    if len(values) < 2:
        raise InputError(f"an interval needs 2 values at least, found {len(values)}")
    check_points(values, "an interval")
    deviation, mean = torch.std_mean(values.double(), dim=0)
    error = float(deviation) / len(values) ** 0.5
    return student_interval(float(mean), error, len(values) - 1, level)


def change(
    apart: Float[Tensor, " examples"],
    targets: Int[Tensor, " examples"],
    document: Int[Tensor, " examples"],
) -> dict[str, float]:
    """Change of loss in nats per target token, Σ apart / Σ targets, with a 95 % t interval.

    Documents are the unit: with r the ratio, e the sums of apart − r·targets over each of the n
    documents, the standard error is √(n/(n − 1) Σ e²) / Σ targets.

    Source: Cochran 1977, Sampling Techniques, section 2.11 (the ratio of two sums over clusters).

    Args:
        apart: difference of nats of each example, summed over its target tokens.
        targets: target tokens of each example.
        document: the number of each example's document, from 0.
    """
    count = int(document.max()) + 1
    ratio = apart.sum() / targets.sum()
    if count < 2:
        return {"change": float(ratio), "low": math.nan, "high": math.nan}
    errors = torch.zeros(count, dtype=torch.float64)
    errors.index_add_(0, document, (apart - ratio * targets).double())
    error = (count / (count - 1) * errors.square().sum()).sqrt() / targets.sum()
    found = student_interval(float(ratio), float(error), count - 1, 0.95)
    return {"change": found.estimate, "low": found.low, "high": found.high}


def jackknife_interval(
    statistic: Callable[[Int[Tensor, " kept"]], float],
    groups: Int[Tensor, " n"],
    *,
    generator: Generator,
    level: float = 0.95,
    blocks: int = 20,
) -> Interval:
    """θ ± t(b − 1) · s, s² = (b − 1)/b · Σ (θ₍ᵢ₎ − θ̄)², θ₍ᵢ₎ without the i-th block of groups.

    Source: Efron & Tibshirani 1993, equation 11.5, for blocks of nearly equal size.

    Args:
        statistic: of the numbers of the rows that are kept; smooth in their distribution.
        groups: the unit of each row: all its rows are deleted together.
        generator: of the division into blocks.
        level: of confidence.
        blocks: at most so many; fewer groups are deleted one by one.

    Raises:
        InputError: for fewer than 2 groups.
    """
    member = in_blocks(groups, blocks, generator=generator)
    number = int(member.max()) + 1
    if number < 2:
        raise InputError(f"an interval needs 2 groups at least, found {number}")
    rows = torch.arange(len(groups))
    without = [statistic(rows[member != block]) for block in range(number)]
    spread = float(torch.tensor(without, dtype=torch.float64).std(correction=0))
    return student_interval(statistic(rows), (number - 1) ** 0.5 * spread, number - 1, level)


def student_interval(estimate: float, error: float, df: int, level: float) -> Interval:
    """Estimate ± t(df) · error."""
    half = quantile((1 + level) / 2, df) * error
    return Interval(estimate, estimate - half, estimate + half)


def quantile(share: float, df: float) -> float:
    """Quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(share, df))


def in_blocks(groups: Int[Tensor, " n"], blocks: int, *, generator: Generator) -> Int[Tensor, " n"]:
    """The block of each row, 0 to blocks − 1: whole groups at random, as many in each as can be."""
    names, member = groups.unique(return_inverse=True)
    return (torch.randperm(len(names), generator=generator) % blocks)[member]


def refuse_few(found: int, what: str, least: Callable[[int], float], level: float) -> None:
    """Refuse so few units, called ``what``, that the ``least`` p of so many is above ``level``.

    Raises:
        InputError: if it is.
    """
    needed = next(n for n in count(1) if least(n) <= level)
    if found < needed:
        raise InputError(
            f"p ≤ {level:g} can't be reached with {found} {what}; expected {needed} at least"
        )


def permuted(
    data: Any,
    statistic: Callable[..., Any],
    kind: Literal["samples", "independent", "pairings"],
    permutations: int,
    generator: Generator,
) -> float:
    """Share of permutations that reach the statistic, by ``scipy.stats.permutation_test``.

    Exact where there are no more than ``permutations`` of them, else (1 + k) / (1 + permutations).
    """
    import numpy as np
    from scipy.stats import permutation_test

    seed = int(torch.randint(2**31, (), generator=generator))
    found = permutation_test(
        [values.numpy() for values in data],
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=permutations,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _least_of_labels(n: int, m: int) -> float:
    """Sides of one size can be exchanged, which leaves the size of the difference."""
    return min(1.0, (2 if n == m else 1) / math.comb(n + m, n))
