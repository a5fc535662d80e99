"""Effective rank: the number of directions that a cloud spreads in."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.geometry import check_points, moments


class Scale(NamedTuple):
    """Mean and deviation that coordinates are standardised by; not where the deviation is 0."""

    mean: Float[Tensor, " dim"]
    deviation: Float[Tensor, " dim"]


def scale_of(points: Float[Tensor, "n dim"]) -> Scale:
    """Mean and standard deviation of each coordinate, float64.

    Raises:
        InputError: without points, or for one that is not finite.
    """
    check_points(points, "a scale")
    mean, covariance, _ = moments(points)
    return Scale(mean, covariance.diagonal().sqrt())


def effective_rank(points: Float[Tensor, "n dim"], *, scale: Scale | None = None) -> float:
    """exp(−Σ p log p) with p the covariance's eigenvalues divided by their sum; 1 to dim.

    0 for a cloud without spread. Coordinates are first standardised by ``scale``, that of the data:
    without it a few large coordinates decide.

    Source: Roy & Vetterli 2007, with eigenvalues of the covariance for singular values.

    >>> round(effective_rank(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])), 4)
    2.0

    Raises:
        InputError: without points, or for one that is not finite.
    """
    check_points(points, "an effective rank")
    covariance = moments(points).covariance
    if scale is not None:
        size = scale.deviation.to(torch.float64)
        unit = torch.where(size > 0, size, torch.ones_like(size))
        covariance = covariance / torch.outer(unit, unit)
    values = torch.linalg.eigvalsh(covariance).clamp(min=0)
    if not float(values.sum()):
        return 0.0
    return float(torch.special.entr(values / values.sum()).sum().exp())
