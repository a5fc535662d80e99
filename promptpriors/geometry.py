"""Pure functions on point clouds: size, neighbours, moments."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from promptpriors.errors import InputError

LARGEST = 1e17
"""Coordinate whose square, summed over a vector, is still a float32."""


def rms(points: Float[Tensor, "n dim"]) -> float:
    """Root mean square per coordinate, about zero.

    >>> rms(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    2.5
    """
    total = sum(float(part.to(torch.float64).square().sum()) for part in points.split(4096))
    return math.sqrt(total / points.numel())


def check_points(
    points: Tensor, of: str, *, least: int = 1, spread: bool = False, largest: float = LARGEST
) -> None:
    """Refuse points by which ``of`` (such as "t-SNE") would be no number.

    Args:
        points: of any shape whose first axis counts them.
        of: what is computed, for the message.
        least: number of points that it needs.
        spread: whether two of them must differ.
        largest: coordinate.

    Raises:
        InputError: for too few points, one that is not finite or too large to be squared, or where
            they must differ and do not.
    """
    if len(points) < least:
        raise InputError(f"{of} needs {least} points at least, found {len(points)}")
    rows = points.flatten(1) if points.ndim > 1 else points[:, None]
    good = (rows.abs() <= largest).all(dim=1)  # which NaN is not
    if not bool(good.all()):
        row = int((~good).nonzero()[0])
        raise InputError(
            f"{of}: point {row} is not finite, or has a coordinate beyond {largest:g}; leave it out"
        )
    if spread and bool((rows == rows[0]).all()):
        raise InputError(f"{of}: all {len(points)} points are equal; give it points that differ")


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
) -> Neighbours:
    """The ``k`` points of the largest cosine to each query.

    ``exclude`` is for each query one point that does not count, usually itself; 1,024 queries at a
    time bound the memory to 1,024 · m.
    """
    unit = normalize(points, dim=1)
    best = []
    for start in range(0, len(queries), 1024):
        part = normalize(queries[start : start + 1024], dim=1) @ unit.T
        if exclude is not None:
            part.scatter_(1, exclude[start : start + 1024, None], -torch.inf)
        best.append(part.topk(k, dim=1))
    return Neighbours(torch.cat([b.indices for b in best]), torch.cat([b.values for b in best]))


class Moments(NamedTuple):
    """Maximum-likelihood mean and covariance, float64, and the count that they are averages over.

    With weights the count is their sum.
    """

    mean: Float[Tensor, " dim"]
    covariance: Float[Tensor, "dim dim"]
    count: float  # pyright: ignore[reportIncompatibleMethodOverride] hides tuple.count


def moments(
    points: Float[Tensor, "n dim"],
    *,
    weights: Float[Tensor, " n"] | None = None,
    chunk: int | None = None,
) -> Moments:
    """Mean and covariance (divided by the count) in float64, in two passes over the points.

    Weights say how often each point counts. ``chunk`` points are taken at a time, by default as
    many as take the memory of one covariance matrix.
    """
    dim = points.shape[1]
    size = max(dim, 1024) if chunk is None else chunk
    shares = torch.ones(len(points), 1) if weights is None else weights[:, None]
    parts = list(zip(points.split(size), shares.to(torch.float64).split(size), strict=True))
    count = sum(float(share.sum()) for _, share in parts)
    mean = torch.zeros(dim, dtype=torch.float64)
    for part, share in parts:
        mean += (part.to(torch.float64).T @ share)[:, 0]
    mean /= count
    covariance = torch.zeros(dim, dim, dtype=torch.float64)
    for part, share in parts:
        centred = part.to(torch.float64, copy=True).sub_(mean)
        if weights is not None:
            centred *= share.sqrt()
        covariance.addmm_(centred.T, centred)
    return Moments(mean, covariance.div_(count), count)


class Axes(NamedTuple):
    """Principal axes of a covariance with the deviation along each, the least first."""

    deviations: Float[Tensor, " rank"]
    directions: Float[Tensor, "dim rank"]


def axes_of(covariance: Float[Tensor, "dim dim"], *, eps: float) -> Axes:
    """Principal axes in float64, without those whose variance is at most eps · dim · the largest.

    The covariance must be symmetric and positive semidefinite.
    """
    values, vectors = torch.linalg.eigh(covariance.to(torch.float64))
    kept = values > values[-1] * len(values) * eps
    return Axes(values[kept].sqrt(), vectors[:, kept])


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of two clouds together, from the moments of each.

    Σ = w_a Σ_a + w_b Σ_b + w_a w_b ΔΔᵀ with w = count / (count_a + count_b) and Δ = μ_b − μ_a.

    Source: Chan, Golub & LeVeque 1983, equation 2.1, divided by the count.

    >>> whole = torch.arange(8.0).reshape(4, 2)
    >>> both = merge(moments(whole[:1]), moments(whole[1:]))
    >>> both.mean.tolist(), both.count
    ([3.0, 4.0], 4.0)
    """
    count = a.count + b.count
    share = b.count / count
    apart = b.mean - a.mean
    covariance = a.covariance.lerp(b.covariance, share)
    covariance.addr_(apart, apart, alpha=share * (1 - share))
    return Moments(a.mean.lerp(b.mean, share), covariance, count)


def neighbour_distance(
    queries: Float[Tensor, "n dim"],
    points: Float[Tensor, "m dim"],
    *,
    k: int = 1,
    exclude: Int[Tensor, " n"] | None = None,
    chunk: int = 1024,
) -> Float[Tensor, " n"]:
    """Euclidean distance from each query to its ``k``-th nearest point.

    The neighbour is looked for by |q|² − 2 q·p + |p|² about the points' mean; the distance to it is
    then computed from the difference. ``exclude`` is as of ``nearest_by_cosine``; ``chunk`` queries
    are taken at a time.
    """
    centre = points.mean(dim=0)
    cloud = points - centre
    sizes = cloud.square().sum(dim=1)
    found = []
    for start in range(0, len(queries), chunk):
        part = queries[start : start + chunk] - centre
        scores = torch.addmm(sizes, part, cloud.T, alpha=-2)
        if exclude is not None:
            scores.scatter_(1, exclude[start : start + chunk, None], torch.inf)
        rows = scores.topk(k, dim=1, largest=False).indices[:, -1]
        found.append((part - cloud[rows]).norm(dim=1))
    return torch.cat(found)
