"""The law of a radius that an exclusion prior leaves: the tail of one chi law less that of another.

All in logarithms, since a cloud's own radii may lie where both tails underflow.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammaln, xlogy

Array = NDArray[np.float64]

STEPS = 200
"""Halvings of an interval; 60 would do for float64."""
TERMS = 500
"""Of the continued fraction, which converges fast where it is used."""


def log_tail(squared: Array, rank: int) -> Array:
    """Log P(χ² > squared) with ``rank`` degrees of freedom.

    Far out, where the probability underflows, by Legendre's continued fraction of the upper
    incomplete gamma function (Numerical Recipes, section 6.2, with Lentz's method).
    """
    a, x = rank / 2, np.asarray(squared, dtype=np.float64) / 2
    plain = gammaincc(a, x)
    with np.errstate(divide="ignore"):
        found = np.log(plain)
    far = (plain < 1e-200) & (x > a + 1)
    if far.any():
        found[far] = -x[far] + xlogy(a, x[far]) - gammaln(a) + np.log(_fraction(a, x[far]))
    return found


def log_gap(squared: Array, rank: int, k: float) -> Array:
    """Log of P(wide radius² > squared) − P(narrow radius² > squared), the wide one of variance k.

    Beyond the crossing of both densities that is the mass of their difference farther out.
    """
    wide, narrow = log_tail(squared / k, rank), log_tail(squared, rank)
    return wide + np.log1p(-np.exp(np.minimum(narrow - wide, 0.0)))


def crossing(rank: int, k: float) -> float:
    """The squared radius at which N(0, I) and N(0, kI) have equal density."""
    return rank * math.log(k) / (1 - 1 / k)


def radii(uniform: Array, rank: int, k: float, least: float) -> Array:
    """Squared radii of the difference's law beyond ``least``, by inverting its tail.

    Args:
        uniform: numbers in (0, 1), the share of the mass that lies farther out.
        rank: dimensions.
        k: variance of the wide Gaussian.
        least: the smallest squared radius, not below the crossing.
    """
    wanted = np.log(uniform) + log_gap(np.array([least]), rank, k)[0]
    low = np.full_like(uniform, least)
    high = low + k * rank
    while (inside := log_gap(high, rank, k) > wanted).any():
        high[inside] = least + 2 * (high[inside] - least)
    for _ in range(STEPS):
        middle = (low + high) / 2
        beyond = log_gap(middle, rank, k) > wanted
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        if np.all(high - low <= 1e-13 * high):
            break
    return (low + high) / 2


def _fraction(a: float, x: Array) -> Array:
    tiny = np.finfo(np.float64).tiny
    b = x + 1 - a
    c, d = np.full_like(x, 1 / tiny), 1 / b
    value = d.copy()
    for i in range(1, TERMS):
        step = -i * (i - a)
        b = b + 2
        d = 1 / np.where(np.abs(step * d + b) < tiny, tiny, step * d + b)
        c = np.where(np.abs(b + step / c) < tiny, tiny, b + step / c)
        value *= d * c
        if np.all(np.abs(d * c - 1) < 1e-15):
            break
    return value
