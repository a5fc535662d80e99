"""A draw from one prior or from another, chosen anew for each vector."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.registry import Field
from promptpriors.types import Density, Prior, Space


@dataclass(frozen=True)
class Mixture:
    """One of ``members`` for each vector, with probabilities ``weights``, which sum to one."""

    members: tuple[Prior, ...]
    weights: tuple[float, ...]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return _draw(self.members, self.weights, n, generator)


@dataclass(frozen=True)
class MixtureDensity:
    """The same of densities: log p(x) = log Σ wᵢ pᵢ(x)."""

    members: tuple[Density, ...]
    weights: tuple[float, ...]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return _draw(self.members, self.weights, n, generator)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        exact = x.to(torch.float64)
        pairs = zip(self.members, self.weights, strict=True)
        logs = [member.log_prob(exact) + math.log(weight) for member, weight in pairs]
        return torch.stack(logs).logsumexp(dim=0).to(x.dtype)


def fit(
    space: Space,
    *,
    generator: Generator,
    first: Prior,
    second: Prior,
    weight: Annotated[float, Field(gt=0, lt=1)] = 0.5,
) -> Mixture | MixtureDensity:
    """Mix two priors, ``weight`` being the probability of the first."""
    weights = (weight, 1 - weight)
    if isinstance(first, Density) and isinstance(second, Density):
        return MixtureDensity((first, second), weights)
    return Mixture((first, second), weights)


def _draw(
    members: tuple[Prior, ...], weights: tuple[float, ...], n: int, generator: Generator
) -> Tensor:
    if n == 0:
        return members[0].sample(0, generator=generator)
    shares = torch.tensor(weights, dtype=torch.float64)
    chosen = torch.multinomial(shares, n, replacement=True, generator=generator)
    counts = chosen.bincount(minlength=len(members)).tolist()
    pairs = zip(members, counts, strict=True)
    rows = torch.cat([member.sample(k, generator=generator) for member, k in pairs if k])
    return rows[chosen.argsort(stable=True).argsort()]
