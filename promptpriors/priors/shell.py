"""The law of radii outside a Gaussian's shell, in logarithms that reach far into its tail.

With r the Mahalanobis radius in d dimensions and S_d(r²) the share of N(μ, Σ) beyond it, the
positive part of N(μ, kΣ) − N(μ, Σ) begins at the crossing r₀² = d·ln k/(1 − 1/k), and its mass
beyond r ≥ r₀ is S_d(r²/k) − S_d(r²).
"""

import math

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

Radii = Float64[ndarray, " n"]
ROUNDS = 200  # halvings of an interval: more than float64 has bits
NEGLIGIBLE = 1e-250  # share below which scipy's survival function comes near its underflow


def crossing(rank: int, k: float) -> float:
    """The radius at which N(μ, kΣ) becomes denser than N(μ, Σ)."""
    return math.sqrt(rank * math.log(k) / (1 - 1 / k))


def log_survival(rank: int, squares: Radii) -> Radii:
    """Log of the share of the chi-square law with ``rank`` degrees of freedom beyond ``squares``.

    By scipy where its share is above 1e-250, beyond by the continued fraction of the upper
    incomplete gamma function (Abramowitz & Stegun 6.5.31).
    """
    import scipy.special

    half, x = rank / 2, np.asarray(squares) / 2
    share = scipy.special.gammaincc(half, x)
    far = share < NEGLIGIBLE
    logs = np.log(np.where(far, 1.0, share))
    tail = x[far]
    logs[far] = half * np.log(tail) - tail - math.lgamma(half) - _log_fraction(half, tail)
    return logs


def log_mass(rank: int, k: float, radii: Radii) -> Radii:
    """Log of the mass of (N(μ, kΣ) − N(μ, Σ))₊ beyond ``radii``, none below the crossing."""
    squares = np.asarray(radii) ** 2
    wide, narrow = log_survival(rank, squares / k), log_survival(rank, squares)
    return wide + np.log(-np.expm1(narrow - wide))


def radii_beyond(rank: int, k: float, inner: float, shares: Radii) -> Radii:
    """Radii with ``shares`` of the mass beyond ``inner``, not below the crossing, beyond them."""
    if not len(shares):
        return np.zeros(0)
    wanted = np.log(shares) + log_mass(rank, k, np.array([inner]))
    low, high = np.full(len(shares), inner), np.full(len(shares), 2 * inner)
    while (short := log_mass(rank, k, high) > wanted).any():
        high[short] *= 2
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        if ((middle <= low) | (middle >= high)).all():
            break
        beyond = log_mass(rank, k, middle) > wanted
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return high


def _log_fraction(half: float, x: Radii) -> Radii:
    """Log of the denominator of Γ(a, x) = e⁻ˣ xᵃ / (x + 1 − a − …), by Lentz's method; x > a."""
    term = x + 1 - half
    value, above, below = term, term, np.zeros_like(term)
    for i in range(1, 10_000):
        factor = -i * (i - half)
        term = term + 2
        below = 1 / (term + factor * below)
        above = term + factor / above
        value = value * above * below
        if (np.abs(above * below - 1) < 1e-15).all():
            break
    return np.log(value)
