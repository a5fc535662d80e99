"""Pure functions on point clouds: size, neighbours, moments."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rms(points: Float[Tensor, "n dim"]) -> float:
    """Root mean square per coordinate, about zero.

    >>> rms(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    2.5
    """
    return float(points.to(torch.float64).square().mean().sqrt())


class Neighbours(NamedTuple):
    """The k nearest of a cloud's points to each query, nearest first."""

    rows: Int[Tensor, "n k"]
    cosine: Float[Tensor, "n k"]


def nearest_by_cosine(
    queries: Float[Tensor, "n dim"],
    points: Float[Tensor, "m dim"],
    *,
    k: int = 1,
    exclude: Int[Tensor, " n"] | None = None,
    chunk: int = 1024,
) -> Neighbours:
    """The ``k`` points of the largest cosine to each query.

    Args:
        queries: to look for.
        points: to look among.
        k: how many.
        exclude: for each query one point that does not count, usually itself.
        chunk: queries at a time, which bounds the memory to chunk · m.
    """
    unit = torch.nn.functional.normalize(points, dim=1)
    indices, cosines = [], []
    for start in range(0, len(queries), chunk):
        part = torch.nn.functional.normalize(queries[start : start + chunk], dim=1) @ unit.T
        if exclude is not None:
            part.scatter_(1, exclude[start : start + chunk, None], -torch.inf)
        best = part.topk(k, dim=1)
        indices.append(best.indices)
        cosines.append(best.values)
    return Neighbours(torch.cat(indices), torch.cat(cosines))


class Moments(NamedTuple):
    """Maximum-likelihood mean and covariance, float64."""

    mean: Float[Tensor, " dim"]
    covariance: Float[Tensor, "dim dim"]


def moments(points: Float[Tensor, "n dim"], *, chunk: int = 8192) -> Moments:
    """Mean and covariance (divided by n) in float64, in two passes over chunks of the points."""
    mean = points.mean(dim=0, dtype=torch.float64)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for part in points.split(chunk):
        centred = part.to(torch.float64) - mean
        covariance += centred.T @ centred
    return Moments(mean, covariance / len(points))
