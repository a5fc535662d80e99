"""The plane of largest variance through a cloud of points, and points seen on it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import check_points

CHUNK = 8192  # points centred at once: the memory needed does not grow with the cloud
MASSIVE = 10.0  # norm, in medians, beyond which a point is massive


class Plane(NamedTuple):
    """Plane of largest variance.

    Attributes:
        mean: of the cloud.
        components: two orthogonal unit directions, the one of larger variance first.
        explained: share of the cloud's variance along each of them, in [0, 1].
    """

    mean: Float[Tensor, " dim"]
    components: Float[Tensor, "2 dim"]
    explained: Float[Tensor, " 2"]


def fit_plane(points: Float[Tensor, "n dim"]) -> Plane:
    """Exact principal components: the top eigenvectors of the covariance, in float64.

    An eigenvector's sign is arbitrary; here its coordinate of largest magnitude is positive, so
    that the same cloud always gives the same picture. Without spread no direction is the cloud's
    own, and shares are 0.

    >>> cloud = torch.tensor([[2.0, 0.0, 1.0], [-2.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, -1.0, 1.0]])
    >>> fit_plane(cloud).explained.tolist()
    [0.8, 0.2]

    Raises:
        InputError: without points or a second coordinate, or for a point that is not finite.
    """
    check_points(points, "a plane")
    if points.shape[1] < 2:
        raise InputError("a plane needs points of 2 coordinates at least, found 1")
    mean = points.to(torch.float64).mean(0)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in points.split(CHUNK):
        centred = chunk.to(torch.float64) - mean
        scatter += centred.T @ centred
    variances, directions = torch.linalg.eigh(scatter)
    components = directions[:, -2:].T.flip(0)
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    total = scatter.trace()
    shares = variances[-2:].flip(0).clamp(min=0)
    explained = shares / total if total > 0 else torch.zeros_like(shares)
    return Plane(mean, components * largest.sign(), explained)


def ordinary(points: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
    """The points whose norm is at most ten times the median norm.

    A few tokens besides the first are so large that the plane of largest variance would be theirs
    alone (massive activations, Sun et al. 2024).

    >>> len(ordinary(torch.tensor([[1.0], [2.0], [3.0], [21.0]])))
    3
    """
    norms = points.float().norm(dim=1)
    return points[norms <= MASSIVE * norms.median()]


def project(
    points: Float[Tensor, "n dim"], mean: Float[Tensor, " dim"], components: Float[Tensor, "2 dim"]
) -> Float[Tensor, "n 2"]:
    """Coordinates of ``points`` on the plane, float32: (x − mean) · componentsᵀ, in float64.

    Raises:
        InputError: for a point that is not finite.
    """
    check_points(points, "a plane", least=0)
    centred = points.to(torch.float64) - mean.to(torch.float64)
    return (centred @ components.to(torch.float64).T).to(torch.float32)
