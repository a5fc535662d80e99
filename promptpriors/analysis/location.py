"""Location of a prompt, the way it moved, and the way that it could have moved."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from promptpriors.errors import InputError
from promptpriors.geometry import axes_of, check_points, neighbour_distance
from promptpriors.types import Site

MIN_REACH_RATIO = 3.0  # below, where a prompt ended says nothing: it could hardly get elsewhere
FLOAT32 = torch.finfo(torch.float32).max


def displacement(initial: Mapping[Site, Tensor], final: Mapping[Site, Tensor]) -> float:
    """‖final − initial‖ / ‖initial‖ over all vectors of all sites together.

    0 for a prompt without vectors, infinite for one that started at zero and moved.

    Raises:
        InputError: for a vector that is not finite.
    """
    for vectors in (*initial.values(), *final.values()):
        check_points(vectors, "a displacement", least=0, largest=FLOAT32)
    moved = sum(float((final[s] - initial[s]).double().square().sum()) for s in initial)
    size = sum(float(initial[s].double().square().sum()) for s in initial)
    if moved == 0:
        return 0.0
    return (moved / size) ** 0.5 if size else float("inf")


def vector_displacements(
    initial: Float[Tensor, "length dim"], final: Float[Tensor, "length dim"]
) -> Float[Tensor, " length"]:
    """‖final − initial‖ / ‖initial‖ of each vector; infinite for one that started at zero.

    Raises:
        InputError: for a vector that is not finite.
    """
    for vectors in (initial, final):
        check_points(vectors, "a displacement", least=0, largest=FLOAT32)
    moved = (final.double() - initial.double()).norm(dim=1)
    return (moved / initial.double().norm(dim=1)).nan_to_num(0.0, posinf=float("inf")).float()


def kept(
    initial: Float[Tensor, "length dim"],
    final: Float[Tensor, "length dim"],
    centre: Float[Tensor, " dim"],
) -> float | None:
    """Cosine of final and initial vectors about ``centre``, the mean of the prior's draws.

    The mean over vectors: 1 where each lies in the direction in which it started, 0 on average
    where nothing of the start is left. None where a vector started at the centre itself.

    Raises:
        InputError: without vectors, or for one that is not finite.
    """
    for vectors in (initial, final):
        check_points(vectors, "what is kept of the start")
    start, end = (x.double() - centre.double() for x in (initial, final))
    if not bool(start.norm(dim=1).min() > 1e-9 * centre.double().norm()):
        return None
    return float(cosine_similarity(start, end, dim=1).mean())


def between(
    points: Float[Tensor, "n dim"], first: Float[Tensor, " dim"], second: Float[Tensor, " dim"]
) -> float | None:
    """Mean place of points along the line between two centres: 0 at the first, 1 at the second.

    None where the centres are one.

    Raises:
        InputError: without points, or for one that is not finite.
    """
    check_points(points, "a place between two centres")
    line = second.double() - first.double()
    length = float(line.square().sum())
    if not length:
        return None
    return float(((points.double() - first.double()) @ line).mean()) / length


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

    Raises:
        InputError: for an empty cloud, or points that are not finite.
    """
    check_points(start, "a reach")
    check_points(cloud, "a reach")
    distance = float(neighbour_distance(start, cloud).median())
    total = reach(rates, start.shape[1])
    return total / distance if distance else float("inf") if total else 0.0


def mahalanobis(
    points: Float[Tensor, "n dim"],
    mean: Float[Tensor, " dim"],
    covariance: Float[Tensor, "dim dim"],
) -> Float[Tensor, " n"]:
    """√((x − μ)ᵀ Σ⁺ (x − μ)) / √rank, about 1 for draws of N(μ, Σ); in the span of Σ alone.

    Raises:
        InputError: for a covariance without spread, or one that is not finite.
    """
    check_points(covariance, "a radius in the data")
    if not bool(covariance.any()):
        raise InputError("a radius in the data needs data that differ: their covariance is zero")
    deviations, axes = axes_of(covariance, eps=torch.finfo(torch.float32).eps)
    white = (points.double() - mean.double()) @ (axes / deviations)
    return (white.norm(dim=1) / len(deviations) ** 0.5).float()
