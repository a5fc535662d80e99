"""Tail of the largest |t| of several, by exact integration or by directions of the sphere."""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

SAME = 1e-9
"""Difference up to which two correlations count as one."""
DIRECTIONS = 18
"""Directions of the sphere, as a power of 2, where no exact form is known."""
CHUNK = 2**14
BINS = 4096
"""Directions are averaged in so many bins of like reach; the scatter in one is negligible."""
STEP = 0.15
"""Of the trapezoidal rule over normal variables, which is exact to 1e-15 for smooth integrands."""

Tail = Callable[[float], float]
"""P(max |T| ≥ c) as a function of c > 0."""


def largest_tail(correlation: Float[Tensor, "k k"], df: int) -> Tail:
    """P(max |T| ≥ c), T of a multivariate t distribution with k coordinates.

    Three cases, each the same on every machine:

    - ρᵢⱼ = λᵢλⱼ, as differences to one reference have it (Dunnett 1955): a double integral.
    - all pairs of alike means (Tukey 1953): the range of normal variables, a double integral.
    - any other: with R = A Aᵀ of rank r, T = √(r F) · A u, u uniform on the sphere and
      F ~ F(r, df), so P = E[F̄(c² / (r · max|A u|²))], exact in the radius, and in u a mean over
      2¹⁸ directions: equally spaced on a circle, else scrambled Sobol points. What the same
      directions give for the nearest of the two cases above, less its exact value, is taken off.

    Double integrals are right to 1e-10 of their value, the mean to 1e-5 (Genz & Bretz 2009,
    section 4.2, have the integrals). R may be singular.
    """
    kept = _apart(correlation.double())
    exact = _exact(kept, df)
    if exact is not None:
        return exact
    near = _nearest(kept)
    right = _exact(near, df)
    mean, mean_near = _over_sphere(kept, df), _over_sphere(near, df)
    if right is None or len(_factor(near).T) == 2:  # a circle needs no help
        return mean
    return lambda critical: mean(critical) - mean_near(critical) + right(critical)


def _exact(correlation: Tensor, df: int) -> Tail | None:
    loadings = _loadings(correlation)
    if loadings is not None:
        return _over_spread(df, lambda x: _beyond_of_one_factor(x, loadings))
    count = _means(len(correlation))
    if count and float((_pairs(count) - correlation).abs().max()) < SAME:
        return _over_spread(df, lambda x: _beyond_of_range(x * 2**0.5, count))
    return None


def _nearest(correlation: Tensor) -> Tensor:
    """Correlation of all pairs of alike means, or the one-factor one with the least rest."""
    count = _means(len(correlation))
    if count and _factor(correlation).shape[1] == count - 1:
        return _pairs(count)
    off = correlation - torch.diag(correlation.diagonal())
    loadings = torch.full((len(correlation),), 0.7, dtype=torch.float64)
    for _ in range(50):  # principal factors
        values, vectors = torch.linalg.eigh(off + torch.diag(loadings.square()))
        loadings = (vectors[:, -1] * values[-1].sqrt()).clamp(-0.99, 0.99)
    return loadings.outer(loadings).fill_diagonal_(1)


def _apart(correlation: Tensor) -> Tensor:
    """The correlation without coordinates that repeat an earlier one, or its negative."""
    kept: list[int] = []
    for i in range(len(correlation)):
        if all(float(correlation[i, j].abs()) < 1 - SAME for j in kept):
            kept.append(i)
    return correlation[kept][:, kept]


def _loadings(correlation: Tensor) -> Any | None:
    """λ with ρᵢⱼ = λᵢλⱼ for i ≠ j and |λ| < 1; None where there are none."""
    k = len(correlation)
    off = correlation - torch.diag(correlation.diagonal())
    if float(off.abs().max()) < SAME:
        return np.zeros(k)
    if k == 2:
        root = float(off[0, 1].abs()) ** 0.5  # a sign does not matter to |T|
        return np.array([root, root])
    i = int(off.abs().sum(0).argmax())
    others = [j for j in range(k) if j != i]
    rest = off[others][:, others]
    place = int(rest.abs().argmax())
    j, m = others[place // (k - 1)], others[place % (k - 1)]
    if float(off[j, m].abs()) < SAME:
        return None
    square = float(off[i, j] * off[i, m] / off[j, m])
    if not SAME < square < 1 - SAME:
        return None
    loadings = off[i] / square**0.5
    loadings[i] = square**0.5
    fitted = loadings.outer(loadings)
    wrong = float((fitted - torch.diag(fitted.diagonal()) - off).abs().max())
    return loadings.numpy() if wrong < SAME and float(loadings.abs().max()) < 1 - SAME else None


def _means(pairs: int) -> int:
    """Number of means that have so many pairs; 0 for none."""
    count = round((1 + (1 + 8 * pairs) ** 0.5) / 2)
    return count if count > 2 and count * (count - 1) // 2 == pairs else 0


def _pairs(count: int) -> Tensor:
    """Correlation of all pairs of so many alike means, in the order of ``combinations``."""
    weights = torch.zeros(count * (count - 1) // 2, count, dtype=torch.float64)
    for row, (first, second) in enumerate(combinations(range(count), 2)):
        weights[row, first], weights[row, second] = 1, -1
    return weights @ weights.T / 2


def _over_spread(df: int, beyond: Callable[[Any], Any]) -> Tail:
    """∫ f(s) beyond(c s) ds, f the density of √(χ²(df) / df), by the trapezoidal rule in log s."""
    from scipy.stats import chi

    low, high = np.log([chi.ppf(1e-60, df), chi.isf(1e-18, df)]) - np.log(df) / 2
    count = int((high - low) / min(0.15, 0.2 / df**0.5)) + 2
    x = np.linspace(low, high, count)
    s = np.exp(x)
    scaled = s * df**0.5
    weights = (x[1] - x[0]) * chi.pdf(scaled, df) * scaled

    def tail(critical: float) -> float:
        return min(1.0, float((weights * beyond(critical * s)).sum()))

    return tail


def _normal(low: float, high: float, sharpness: float = 1.0) -> tuple[Any, Any]:
    """Nodes and weights times the normal density."""
    step = STEP / sharpness
    z = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
    return z, step * np.exp(-z * z / 2) / (2 * np.pi) ** 0.5


def _beyond_of_one_factor(bounds: Any, loadings: Any) -> Any:
    """P(max |Z| ≥ bound), Zᵢ = λᵢ z + √(1 − λᵢ²) eᵢ: 1 − ∫ φ(z) Π P(|Zᵢ| < bound | z) dz.

    The complement is summed itself, so that a small P keeps its digits.
    """
    from scipy.special import ndtr

    values, counts = np.unique(np.abs(loadings), return_counts=True)
    rest = np.sqrt(1 - values**2)
    z, weights = _normal(0, min(38.0, 9 + float(bounds.max())), 1 / float(rest.min()))
    weights = np.where(z == 0, weights, 2 * weights)  # |λ| does, for the integrand is even in z
    missed = np.zeros((len(bounds), len(z)))
    with np.errstate(divide="ignore"):
        for value, one, count in zip(values, rest, counts, strict=True):
            sides = (ndtr((sign * value * z - bounds[:, None]) / one) for sign in (1, -1))
            missed += count * np.log1p(-np.minimum(1.0, sum(sides)))
    return -np.expm1(missed) @ weights


def _beyond_of_range(widths: Any, count: int) -> Any:
    """P(range of ``count`` standard normal variables ≥ width) = k ∫ φ (Aᵐ − Bᵐ) dx, m = k − 1.

    x is the least of them, A = P(Z ≥ x) and B = P(x ≤ Z ≤ x + width) (Hartley 1942).
    """
    from scipy.special import log_ndtr

    x, weights = _normal(-38.0, 9.0)
    above = log_ndtr(-x)
    share = np.exp(np.minimum(0.0, log_ndtr(-x - widths[:, None]) - above))
    with np.errstate(divide="ignore"):
        missed = -np.expm1((count - 1) * np.log1p(-share))
    return np.minimum(1.0, (missed * np.exp((count - 1) * above)) @ weights * count)


def _over_sphere(correlation: Tensor, df: int) -> Tail:
    from scipy.stats import f

    factor = _factor(correlation)
    rank = factor.shape[1]
    directions = _directions(rank)
    parts = [(factor @ part).abs().amax(dim=0) for part in directions.split(CHUNK, dim=1)]
    reach = torch.cat(parts).sort().values.view(BINS, -1).square().mean(dim=1)
    scale: Any = (rank * reach).numpy()
    return lambda critical: float(f.sf(critical**2 / scale, rank, df).mean())


def _factor(correlation: Tensor) -> Tensor:
    """Cholesky's factor without the columns of pivots that are nothing.

    It is the same on every machine, as the eigenvectors of equal eigenvalues are not.
    """
    rest, columns = correlation.clone(), []
    for j in range(len(rest)):
        if rest[j, j] > SAME:
            columns.append(rest[:, j] / rest[j, j].sqrt())
            rest = rest - columns[-1].outer(columns[-1])
    return torch.stack(columns, dim=1)


@lru_cache(maxsize=2)
def _directions(rank: int) -> Tensor:
    """Unit vectors [rank, 2¹⁸], spread evenly over the sphere, one of each pair of opposites."""
    from scipy.stats import norm, qmc

    count = 2**DIRECTIONS
    if rank == 2:
        angles = torch.arange(count, dtype=torch.float64) * (torch.pi / count)
        return torch.stack([angles.cos(), angles.sin()])
    sampler = qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(0))
    points = torch.as_tensor(norm.ppf(sampler.random_base2(DIRECTIONS).clip(1e-12, 1 - 1e-12)))
    return (points / points.norm(dim=1, keepdim=True)).T.contiguous()
