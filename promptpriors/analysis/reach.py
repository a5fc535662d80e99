"""How far a run could have moved its prompt: whether where it ended can be a finding at all."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.geometry import axes_of, neighbour_distance

MIN_REACH_RATIO = 3.0
"""Reach ratio below which where a prompt ended says nothing: it could hardly get elsewhere."""


def reach(rates: Sequence[float], dim: int) -> float:
    """R = Σ lr · √dim: what Adam can move a vector of ``dim`` coordinates in these steps.

    Adam's step is at most about lr in each coordinate (Kingma & Ba 2015, section 2.1).

    >>> reach([0.1, 0.1], 4)
    0.4
    """
    return sum(rates) * dim**0.5


def reach_ratio(
    rates: Sequence[float], start: Float[Tensor, "length dim"], cloud: Float[Tensor, "n dim"]
) -> float:
    """The reach over the median distance from the start's vectors to their nearest points.

    Infinite for a start that lies on points of the cloud.
    """
    distance = float(neighbour_distance(start, cloud).median())
    total = reach(rates, start.shape[1])
    return total / distance if distance else float("inf") if total else 0.0


def mahalanobis(
    points: Float[Tensor, "n dim"],
    mean: Float[Tensor, " dim"],
    covariance: Float[Tensor, "dim dim"],
) -> Float[Tensor, " n"]:
    """√((x − μ)ᵀ Σ⁺ (x − μ)) / √rank, about 1 for draws of N(μ, Σ); in the span of Σ alone."""
    deviations, axes = axes_of(covariance, eps=torch.finfo(torch.float32).eps)
    white = (points.double() - mean.double()) @ (axes / deviations)
    return (white.norm(dim=1) / len(deviations) ** 0.5).float()
