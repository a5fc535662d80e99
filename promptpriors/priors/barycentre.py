"""The Gaussian between two Gaussians along the shortest transport from one to the other."""

from typing import Annotated

import torch
from torch import Generator

from promptpriors.errors import InputError
from promptpriors.priors.gaussian import Gaussian, as_gaussian
from promptpriors.registry import Field
from promptpriors.types import Prior, Space


def fit(
    space: Space,
    *,
    generator: Generator,
    first: Prior,
    second: Prior,
    weight: Annotated[float, Field(gt=0, lt=1)] = 0.5,
) -> Gaussian:
    """The Wasserstein barycentre of two Gaussians; unlike an average of draws it keeps its size.

    N(wμ₁ + (1 − w)μ₂, MΣ₁M) with M = wI + (1 − w)T and T = L⁻ᵀ(LᵀΣ₂L)^½L⁻¹ the optimal map from
    the first to the second, L Lᵀ = Σ₁; ``weight`` is w, that of the first.

    Source: Dowson & Landau 1982, equation 10, for T; McCann 1997, example 1.7, for the geodesic.

    Raises:
        InputError: if one of them is no Gaussian with a density.
    """
    one, two = (_gaussian(name, p) for name, p in (("first", first), ("second", second)))
    vectors, roots, _ = torch.linalg.svd(one.factor.T @ two.factor)
    moved = torch.linalg.solve_triangular(one.factor.T, (vectors * roots) @ vectors.T, upper=True)
    mean = weight * one.mean + (1 - weight) * two.mean
    factor = weight * one.factor + (1 - weight) * moved
    upper = torch.linalg.qr(factor.T, mode="r").R  # Uᵀ U = factor · factorᵀ
    return Gaussian(mean, (upper * upper.diagonal().sign()[:, None]).T.contiguous())


def _gaussian(name: str, prior: Prior) -> Gaussian:
    found = as_gaussian(prior)
    if found is None:
        raise InputError(
            f"prior 'barycentre': {name} must be a Gaussian with a density, found"
            f" {type(prior).__name__}\nTake isotropic, or gaussian; with too few points for a full"
            " covariance, shrinkage = 'oas'"
        )
    return found
