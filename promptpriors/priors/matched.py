"""Another prior, rescaled by one factor to the size of the space."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import rms
from promptpriors.priors.gaussian import Gaussian
from promptpriors.priors.isotropic import Isotropic
from promptpriors.types import Density, Prior, Reporting, Space

DRAWS = 4096  # by which the inner prior's size and mean are measured


@dataclass(frozen=True)
class Matched:
    """y = scale · x + shift with x from the inner prior."""

    inner: Prior
    scale: float
    shift: Float[Tensor, " dim"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return self.inner.sample(n, generator=generator) * self.scale + self.shift

    def report(self) -> dict[str, float]:
        """Report of the inner prior."""
        return _report(self.inner)


@dataclass(frozen=True)
class MatchedDensity:
    """The same for an inner prior with a density: log p(y) = log p(x) − dim · log scale."""

    inner: Density
    scale: float
    shift: Float[Tensor, " dim"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return self.inner.sample(n, generator=generator) * self.scale + self.shift

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        inner = self.inner.log_prob((x.to(torch.float64) - self.shift) / self.scale)
        return (inner - x.shape[1] * math.log(self.scale)).to(x.dtype)

    def report(self) -> dict[str, float]:
        """Report of the inner prior."""
        return _report(self.inner)


def fit(
    space: Space, *, generator: Generator, prior: Prior, match: Literal["rms", "moments"] = "rms"
) -> Prior | Density:
    """Rescale ``prior`` to the space.

    Args:
        space: whose size is matched.
        generator: of the draws that measure the inner prior.
        prior: the inner prior.
        match: ``rms`` multiplies, so that the root mean square per coordinate about zero agrees;
            ``moments`` moves the mean too, and matches the spread about it.

    Returns:
        The inner prior with its scale; a Gaussian stays one.

    Raises:
        InputError: if the inner prior draws nothing but zeros (or, for ``moments``, one point).
    """
    draws = prior.sample(DRAWS, generator=generator).to(torch.float64)
    points = space.points.to(torch.float64)
    if match == "rms":
        centre = target = torch.zeros(points.shape[1], dtype=torch.float64)
    else:
        centre, target = draws.mean(dim=0), points.mean(dim=0)
    size = rms(draws - centre)
    if size == 0:
        raise InputError(f"prior 'matched': the inner prior has no spread to match by {match!r}")
    scale = rms(points - target) / size
    if scale == 0:
        raise InputError(f"prior 'matched': the space has no spread to match by {match!r}")
    shift = target - scale * centre
    if isinstance(prior, Gaussian):
        return Gaussian(scale * prior.mean + shift, scale * prior.factor)
    if isinstance(prior, Isotropic) and match == "rms":
        return Isotropic(prior.dim, scale * prior.sigma)
    shift = shift.to(torch.float32)
    if isinstance(prior, Density):
        return MatchedDensity(prior, scale, shift)
    return Matched(prior, scale, shift)


def _report(inner: Prior) -> dict[str, float]:
    return inner.report() if isinstance(inner, Reporting) else {}
