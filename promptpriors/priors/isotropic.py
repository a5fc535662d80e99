"""N(0, σ²I): the same spread in every direction, nothing of the space but at most its size."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import rms
from promptpriors.registry import Field
from promptpriors.types import Space


@dataclass(frozen=True)
class Isotropic:
    """N(0, σ²I) in ``dim`` dimensions.

    log p(x) = −‖x‖²/(2σ²) − (dim/2) log(2πσ²)
    """

    dim: int
    sigma: float

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return torch.randn(n, self.dim, generator=generator) * self.sigma

    @property
    def rank(self) -> int:
        """All dimensions."""
        return self.dim

    def radius(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """‖x‖/σ."""
        return (x.to(torch.float64).norm(dim=1) / self.sigma).to(x.dtype)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        scaled = (x.to(torch.float64) / self.sigma).square().sum(dim=1)
        constant = self.dim * (math.log(2 * math.pi) + 2 * math.log(self.sigma))
        return (-(scaled + constant) / 2).to(x.dtype)


def fit(
    space: Space,
    *,
    generator: Generator,
    sigma: Annotated[float, Field(gt=0)] | Literal["match"] = 0.02,
) -> Isotropic:
    """σ = 0.02, the number in the paper's code, or ``"match"``: the space's rms per coordinate.

    Raises:
        InputError: if σ is to match a space of zeros.
    """
    spread = rms(space.points) if isinstance(sigma, str) else float(sigma)
    if spread == 0:
        raise InputError("prior 'isotropic': sigma = 'match' needs points that are not all zero")
    return Isotropic(space.points.shape[1], spread)
