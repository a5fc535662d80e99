"""A point on the line between a draw of one prior and a draw of another."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.priors.gaussian import Gaussian, as_gaussian
from promptpriors.types import Prior, Space

NODES = 256  # of the quadrature in α, densest at 0 and 1, where a wide prior meets a narrow


@dataclass(frozen=True)
class Interpolation:
    """z = αx + (1 − α)y with x from the first, y from the second, α ~ U[0, 1] for each pair.

    Mean (μ₁ + μ₂)/2, covariance (Σ₁ + Σ₂)/3 + ΔΔᵀ/12 with Δ = μ₁ − μ₂: averaging shrinks.
    """

    first: Prior
    second: Prior

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return _draw(self.first, self.second, n, generator)


@dataclass(frozen=True)
class InterpolationDensity:
    """The same between two Gaussians.

    p(z) = ∫₀¹ N(z; αμ₁ + (1 − α)μ₂, α²Σ₁ + (1 − α)²Σ₂) dα by Gauss–Legendre quadrature, in
    coordinates Bz in which Σ₂ is the identity and Σ₁ diagonal.

    Attributes:
        basis: B.
        values: the diagonal of B Σ₁ Bᵀ.
        nodes: of the quadrature.
    """

    first: Gaussian
    second: Gaussian
    basis: Float[Tensor, "dim dim"]
    values: Float[Tensor, " dim"]
    nodes: int = NODES

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return _draw(self.first, self.second, n, generator)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        abscissae, weights = np.polynomial.legendre.leggauss(self.nodes)
        alpha = torch.from_numpy((abscissae + 1) / 2)[:, None]
        variances = alpha.square() * self.values + (1 - alpha).square()
        apart = self.basis @ (self.first.mean - self.second.mean)
        z = (x.to(torch.float64) - (self.first.mean + self.second.mean) / 2) @ self.basis.T
        shift = (alpha - 0.5) * apart
        exponents = (
            z.square() @ (1 / variances).T
            - 2 * z @ (shift / variances).T
            + (shift.square() / variances).sum(dim=1)
        )
        levels = torch.from_numpy(weights / 2).log() - variances.log().sum(dim=1) / 2
        constant = self.second.log_prob(self.second.mean[None])
        return (torch.logsumexp(levels - exponents / 2, dim=1) + constant).to(x.dtype)


def fit(
    space: Space, *, generator: Generator, first: Prior, second: Prior
) -> Interpolation | InterpolationDensity:
    """Interpolate between two priors, as in the paper's section 3.3."""
    one, two = as_gaussian(first), as_gaussian(second)
    if one is None or two is None:
        return Interpolation(first, second)
    whitened = torch.linalg.solve_triangular(two.factor, one.factor, upper=False)
    vectors, roots, _ = torch.linalg.svd(whitened)
    basis = torch.linalg.solve_triangular(two.factor.T, vectors, upper=True).T
    return InterpolationDensity(one, two, basis, roots.square())


def _draw(first: Prior, second: Prior, n: int, generator: Generator) -> Tensor:
    x = first.sample(n, generator=generator)
    y = second.sample(n, generator=generator)
    return y.lerp(x, torch.rand(n, 1, generator=generator))
