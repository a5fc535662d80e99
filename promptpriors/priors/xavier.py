"""Glorot's initialisation of the prompt as one matrix: the usual default of deep prompts."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.priors.isotropic import Isotropic
from promptpriors.registry import Field
from promptpriors.types import Density, Space


@dataclass(frozen=True)
class Uniform:
    """Uniform on the cube [−bound, bound]^dim.

    log p(x) = −dim · log(2 · bound) inside, −∞ outside
    """

    dim: int
    bound: float

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return (torch.rand(n, self.dim, generator=generator) * 2 - 1) * self.bound

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        inside = (x.abs() <= self.bound).all(dim=1)
        level = x.sum(dim=1) * 0 - self.dim * math.log(2 * self.bound)  # flat, with a gradient
        return level.masked_fill(~inside, -math.inf)


def fit(
    space: Space,
    *,
    generator: Generator,
    distribution: Literal["uniform", "normal"] = "uniform",
    length: Annotated[int, Field(ge=1)] = 20,
) -> Density:
    """Coordinates of variance 2/(length + dim); of the space only the dimension matters.

    ``length`` is that of the prompt; a run's config fills in its own.

    Source: Glorot & Bengio 2010, equations 12 and 16, with fan-in ``length`` and fan-out ``dim``.
    """
    dim = space.points.shape[1]
    sigma = math.sqrt(2 / (length + dim))
    if distribution == "normal":
        return Isotropic(dim, sigma)
    return Uniform(dim, sigma * math.sqrt(3))
