"""N(μ, Σ) fitted to a space: the paper's "structured Gaussian", section 3.3."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import Moments, moments
from promptpriors.types import Density, Prior, Space


@dataclass(frozen=True)
class Gaussian:
    """N(μ, L Lᵀ) with a lower-triangular, invertible factor L in float64.

    log p(x) = −‖L⁻¹(x − μ)‖²/2 − Σ log Lᵢᵢ − (dim/2) log 2π
    """

    mean: Float[Tensor, " dim"]
    factor: Float[Tensor, "dim dim"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return _draw(self.mean, self.factor, n, generator)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        centred = (x.to(torch.float64) - self.mean).T
        white = torch.linalg.solve_triangular(self.factor, centred, upper=False)
        log_det = self.factor.diagonal().log().sum()
        constant = len(self.mean) * math.log(2 * math.pi) / 2
        return (-white.square().sum(dim=0) / 2 - log_det - constant).to(x.dtype)


@dataclass(frozen=True)
class AffineGaussian:
    """N(μ, A Aᵀ) on the affine span of the columns of A: a Prior without density."""

    mean: Float[Tensor, " dim"]
    factor: Float[Tensor, "dim rank"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors, all of them in the span."""
        return _draw(self.mean, self.factor, n, generator)


def fit(
    space: Space,
    *,
    generator: Generator,  # noqa: ARG001 every fit takes one
    covariance: Literal["full", "diag"] = "full",
    shrinkage: Literal["none", "ledoit-wolf", "oas"] = "none",
) -> Prior | Density:
    """Fit mean and covariance in float64.

    Args:
        space: the points; each counts once.
        generator: not needed.
        covariance: all of it, or its diagonal.
        shrinkage: towards a multiple of the identity, (1 − s)·Σ + s·(tr Σ/dim)·I, with s by Ledoit
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
    if covariance == "diag":
        return _diagonal(fitted)
    sigma = fitted.covariance
    if shrinkage != "none":
        s = _shrinkage(shrinkage, space.points)
        scale = sigma.diagonal().mean()
        sigma = (1 - s) * sigma + s * scale * torch.eye(len(sigma), dtype=sigma.dtype)
    elif len(space.points) <= len(sigma):
        return AffineGaussian(fitted.mean, _span(sigma))
    factor, failed = torch.linalg.cholesky_ex(sigma)
    if failed or _degenerate(factor):
        return AffineGaussian(fitted.mean, _span(sigma))
    return Gaussian(fitted.mean, factor)


def _draw(mean: Tensor, factor: Tensor, n: int, generator: Generator) -> Tensor:
    noise = torch.randn(n, factor.shape[1], generator=generator, dtype=torch.float64)
    return (mean + noise @ factor.T).to(torch.float32)


def _diagonal(fitted: Moments) -> Prior | Density:
    deviations = fitted.covariance.diagonal().sqrt()
    kind = Gaussian if bool((deviations > 0).all()) else AffineGaussian
    return kind(fitted.mean, torch.diag(deviations))


def _span(sigma: Tensor) -> Tensor:
    """Eigenvectors times root eigenvalues, without the directions that have no variance."""
    values, vectors = torch.linalg.eigh(sigma)
    kept = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
    return vectors[:, kept] * values[kept].sqrt()


def _degenerate(factor: Tensor) -> bool:
    """Whether a Cholesky factor succeeded on rounding errors alone."""
    pivots = factor.diagonal().square()
    return bool(pivots.min() <= pivots.max() * len(factor) * torch.finfo(torch.float64).eps)


def _shrinkage(kind: str, points: Tensor) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage, oas

    array = points.to(torch.float64).numpy()
    return float(ledoit_wolf_shrinkage(array) if kind == "ledoit-wolf" else oas(array)[1])
