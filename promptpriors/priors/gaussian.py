"""N(μ, Σ) fitted to a space: the paper's "structured Gaussian", section 3.3."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import Moments, axes_of, moments
from promptpriors.priors.isotropic import Isotropic
from promptpriors.types import Prior, Space


@dataclass(frozen=True)
class Gaussian:
    """N(μ, L Lᵀ) with a lower-triangular, invertible factor L in float64.

    log p(x) = −‖L⁻¹(x − μ)‖²/2 − Σ log Lᵢᵢ − (dim/2) log 2π
    """

    mean: Float[Tensor, " dim"]
    factor: Float[Tensor, "dim dim"]

    @property
    def rank(self) -> int:
        """All dimensions."""
        return len(self.mean)

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return _draw(self.mean, self.factor, n, generator)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        log_det = self.factor.diagonal().log().sum()
        constant = len(self.mean) * math.log(2 * math.pi) / 2
        return (-self._white(x).square().sum(dim=1) / 2 - log_det - constant).to(x.dtype)

    def radius(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Mahalanobis distance from the mean, ‖L⁻¹(x − μ)‖."""
        return self._white(x).norm(dim=1).to(x.dtype)

    def _white(self, x: Tensor) -> Tensor:
        centred = (x.to(torch.float64) - self.mean).T
        return torch.linalg.solve_triangular(self.factor, centred, upper=False).T


@dataclass(frozen=True)
class AffineGaussian:
    """N(μ, A Aᵀ) on the affine span of the orthogonal columns of A: a Prior without density."""

    mean: Float[Tensor, " dim"]
    factor: Float[Tensor, "dim rank"]

    @property
    def rank(self) -> int:
        """Dimensions of the span."""
        return self.factor.shape[1]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors, all of them in the span."""
        return _draw(self.mean, self.factor, n, generator)

    def radius(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Mahalanobis distance within the span, of the point of it that is nearest to ``x``."""
        centred = x.to(torch.float64) - self.mean
        white = centred @ self.factor / self.factor.square().sum(dim=0)
        return white.norm(dim=1).to(x.dtype)


def fit(
    space: Space,
    *,
    generator: Generator,
    covariance: Literal["full", "diag"] = "full",
    shrinkage: Literal["none", "ledoit-wolf", "oas"] = "none",
) -> Gaussian | AffineGaussian:
    """Fit mean and covariance, all of it or its diagonal, in float64; each point counts once.

    Shrinkage is towards a multiple of the identity, (1 − s)·Σ + s·(tr Σ/dim)·I, with s by Ledoit
    & Wolf (2004) or OAS (Chen et al. 2010), as scikit-learn computes them.

    Returns:
        A Gaussian, or, where the covariance is singular (for n ≤ dim always, unless shrunk), an
        AffineGaussian, which has no density.

    Raises:
        InputError: for a single point, and for shrinkage of a diagonal.
    """
    if len(space.points) < 2:
        raise InputError("prior 'gaussian' needs at least two points, found 1")
    if covariance == "diag" and shrinkage != "none":
        raise InputError("prior 'gaussian': shrinkage goes with covariance = 'full'")
    fitted = moments(space.points)
    sigma = fitted.covariance
    if covariance == "diag":
        spread = sigma.diagonal() > 0
        factor = sigma.diagonal().sqrt().diag()
        if spread.all():
            return Gaussian(fitted.mean, factor)
        return AffineGaussian(fitted.mean, factor[:, spread])
    if shrinkage != "none":
        share = _oas(fitted) if shrinkage == "oas" else _ledoit_wolf(fitted, space.points)
        scale = sigma.diagonal().mean()
        sigma.mul_(1 - share).diagonal().add_(share * scale)
    elif len(space.points) <= len(sigma):
        return AffineGaussian(fitted.mean, _span(sigma))
    factor, failed = torch.linalg.cholesky_ex(sigma)
    pivots = factor.diagonal().square()
    rounding = len(factor) * torch.finfo(torch.float64).eps  # on which alone it may succeed
    if failed or pivots.min() <= pivots.max() * rounding:
        return AffineGaussian(fitted.mean, _span(sigma))
    return Gaussian(fitted.mean, factor)


def as_gaussian(prior: Prior) -> Gaussian | None:
    """``prior`` in the form of a Gaussian with a density, if it is one."""
    if isinstance(prior, Isotropic):
        eye = torch.eye(prior.dim, dtype=torch.float64)
        return Gaussian(torch.zeros(prior.dim, dtype=torch.float64), prior.sigma * eye)
    return prior if isinstance(prior, Gaussian) else None


def _draw(mean: Tensor, factor: Tensor, n: int, generator: Generator) -> Tensor:
    noise = torch.randn(n, factor.shape[1], generator=generator, dtype=torch.float64)
    return (mean + noise @ factor.T).to(torch.float32)


def _span(sigma: Tensor) -> Tensor:
    """Eigenvectors times root eigenvalues, without the directions that have no variance."""
    found = axes_of(sigma, eps=torch.finfo(torch.float64).eps)
    return found.directions * found.deviations


def _oas(fitted: Moments) -> float:
    """Chen et al. 2010, equation 23, as scikit-learn reads it: without 1 − 2/dim."""
    square = fitted.covariance.square().mean()
    scale = fitted.covariance.diagonal().mean().square()
    least = (fitted.count + 1) * (square - scale / len(fitted.mean))
    return float((square + scale) / least) if square + scale < least else 1.0


def _ledoit_wolf(fitted: Moments, points: Tensor) -> float:
    """Ledoit & Wolf 2004, section 3.3; no copy of the points, which scikit-learn makes."""
    dim = len(fitted.mean)
    fourth = torch.zeros((), dtype=torch.float64)
    for part in points.split(max(dim, 1024)):
        fourth += (part.to(torch.float64) - fitted.mean).square().sum(dim=1).square().sum()
    square = fitted.covariance.square().sum()
    noise = (fourth / fitted.count - square) / (dim * fitted.count)
    spread = square / dim - fitted.covariance.diagonal().mean().square()
    return float(noise.clamp(min=0).minimum(spread) / spread) if spread > 0 else 0.0
