"""N(μ, kΣ) with the bulk of N(μ, Σ) left out: vectors like the data, yet away from it."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.priors import gaussian
from promptpriors.priors.gaussian import AffineGaussian, Gaussian
from promptpriors.priors.shell import crossing, log_mass, radii_beyond
from promptpriors.registry import Field
from promptpriors.types import Space

MIN_ACCEPTANCE = 1e-10  # below, the difference of two survival functions is mostly rounding


@dataclass(frozen=True)
class AffineExclusion:
    """The law of ``Exclusion`` within the affine span of the points: a Prior without density."""

    core: AffineGaussian
    k: float
    inner: float
    farther: float

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors, exactly and without rejection."""
        return _draw(self, n, generator)

    def report(self) -> dict[str, float]:
        """``acceptance``, ``radius_least``, ``radius_median``, ``data_farther_out``."""
        return _figures(self)


@dataclass(frozen=True)
class Exclusion:
    """(N(μ, kΣ) − N(μ, Σ))₊, beyond the Mahalanobis radius ``inner``, normalised.

    log p(x) = log(N(x; μ, kΣ) − N(x; μ, Σ)) − log(S(inner²/k) − S(inner²)), −∞ within ``inner``,
    with S the survival function of chi-square in ``dim`` dimensions.

    Attributes:
        core: N(μ, Σ).
        k: N(μ, kΣ) is what is cut.
        inner: the least Mahalanobis radius.
        farther: share of the data farther out than the median draw.
    """

    core: Gaussian
    k: float
    inner: float
    farther: float

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors, exactly and without rejection."""
        return _draw(self, n, generator)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        exact = x.to(torch.float64)
        square, rank = self.core.radius(exact).square(), self.core.rank
        outside = square > self.inner**2
        excess = rank * math.log(self.k) / 2 - square * (1 - 1 / self.k) / 2
        mass = float(log_mass(rank, self.k, np.array([self.inner]))[0])
        narrow = self.core.log_prob(exact) - mass
        safe = torch.where(outside, excess, -torch.ones_like(excess))
        log = narrow - safe + torch.log(-torch.expm1(safe))
        return log.masked_fill(~outside, -math.inf).to(x.dtype)

    def report(self) -> dict[str, float]:
        """``acceptance``, ``radius_least``, ``radius_median``, ``data_farther_out``."""
        return _figures(self)


def fit(
    space: Space,
    *,
    generator: Generator,
    k: Annotated[float, Field(gt=1)] | Literal["c^(2/d)"] = "c^(2/d)",
    c: Annotated[float, Field(gt=1)] = 5.0,
    outside: Annotated[float, Field(gt=0, lt=1)] | None = None,
    covariance: Literal["full", "diag"] = "full",
    shrinkage: Literal["none", "ledoit-wolf", "oas"] = "none",
) -> Exclusion | AffineExclusion:
    """Fit N(μ, Σ) and cut it out of N(μ, kΣ).

    Draws of N(μ, kΣ) accepted with max(0, 1 − N(μ, Σ)/N(μ, kΣ)), as in the paper's section 3.3,
    have this law; the radius is drawn by inverting its distribution function, the direction is
    uniform. In hundreds of dimensions the default hardly moves the radius: ``outside`` does.

    Args:
        space: the points.
        generator: not needed but by the Gaussian's fit.
        k: factor of the covariance; ``c^(2/d)`` makes the two densities' ratio at the mean c, with
            d the rank of Σ.
        c: for it.
        outside: draw beyond this quantile of the data's own Mahalanobis radii.
        covariance: as in prior ``gaussian``.
        shrinkage: as in prior ``gaussian``.

    Raises:
        InputError: for a k so close to 1 that nothing is left.
    """
    core = gaussian.fit(space, generator=generator, covariance=covariance, shrinkage=shrinkage)
    factor = c ** (2 / core.rank) if isinstance(k, str) else float(k)
    inner = crossing(core.rank, factor) if factor > 1 else math.inf
    if not inner < math.inf or _acceptance(core.rank, factor, inner) < MIN_ACCEPTANCE:
        raise InputError(
            f"prior 'exclusion': k = {factor!r} is too close to 1, the two Gaussians are the same"
            "\nTake a larger k or c"
        )
    radii = torch.cat([core.radius(part.double()) for part in space.points.split(4096)])
    if outside is not None:
        inner = max(inner, float(np.quantile(radii.numpy(), outside, method="higher")))
    farther = float((radii > _median(core.rank, factor, inner)).double().mean())
    if isinstance(core, Gaussian):
        return Exclusion(core, factor, inner, farther)
    return AffineExclusion(core, factor, inner, farther)


def _draw(law: Exclusion | AffineExclusion, n: int, generator: Generator) -> Tensor:
    core = law.core
    direction = torch.randn(n, core.rank, generator=generator, dtype=torch.float64)
    shares = 1 - torch.rand(n, generator=generator, dtype=torch.float64)
    radius = torch.from_numpy(radii_beyond(core.rank, law.k, law.inner, shares.numpy()))
    white = torch.nn.functional.normalize(direction, dim=1) * radius[:, None]
    return (core.mean + white @ core.factor.T).to(torch.float32)


def _median(rank: int, k: float, inner: float) -> float:
    return float(radii_beyond(rank, k, inner, np.array([0.5]))[0])


def _acceptance(rank: int, k: float, inner: float) -> float:
    """Acceptance of drawing from N(μ, kΣ) and rejecting, within ``inner`` as well."""
    return math.exp(log_mass(rank, k, np.array([inner]))[0])


def _figures(law: Exclusion | AffineExclusion) -> dict[str, float]:
    place = law.core.rank, law.k, law.inner
    return {
        "acceptance": _acceptance(*place),
        "radius_least": law.inner,
        "radius_median": _median(*place),
        "data_farther_out": law.farther,
    }
