"""Draws from chosen clusters of the space, found in the space and never in a map of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.priors import gaussian
from promptpriors.priors.gaussian import Gaussian
from promptpriors.priors.mixture import MixtureDensity
from promptpriors.priors.points import Points
from promptpriors.registry import Field
from promptpriors.types import Space

HDBSCAN_POINTS = 10_000  # at most, at random: its time grows with their square


@dataclass(frozen=True)
class ClusterPoints:
    """Points of the chosen clusters at random.

    Attributes:
        share: of the space's points that are in them.
        found: clusters that there are.
    """

    points: Points
    share: float
    found: int

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return self.points.sample(n, generator=generator)

    def report(self) -> dict[str, float]:
        """``share_of_points`` and ``clusters``."""
        return {"share_of_points": self.share, "clusters": float(self.found)}


@dataclass(frozen=True)
class ClusterGaussians:
    """Gaussians of the chosen clusters, each weighted by its size.

    Attributes:
        share: of the space's points that are in the clusters.
        found: clusters that there are.
    """

    mixture: MixtureDensity
    share: float
    found: int

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        return self.mixture.sample(n, generator=generator)

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Log-density in nats."""
        return self.mixture.log_prob(x)

    def report(self) -> dict[str, float]:
        """``share_of_points`` and ``clusters``."""
        return {"share_of_points": self.share, "clusters": float(self.found)}


def fit(
    space: Space,
    *,
    generator: Generator,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    clusters: Annotated[int, Field(ge=1)] = 8,
    smallest: Annotated[int, Field(ge=2)] = 20,
    chosen: Annotated[Sequence[Annotated[int, Field(ge=0)]], Field(min_length=1)] = (0,),
    components: Annotated[int, Field(ge=1)] = 50,
    draw: Literal["points", "gaussian"] = "points",
) -> ClusterPoints | ClusterGaussians:
    """Find clusters on the leading principal components.

    Args:
        space: the points.
        generator: of the clustering's own randomness, and of HDBSCAN's 10,000 points.
        method: k-means; or HDBSCAN, which finds their number and leaves points out.
        clusters: how many, for k-means.
        smallest: points of the smallest cluster, for HDBSCAN.
        chosen: the clusters to draw from, numbered by size, 0 being the largest.
        components: principal components, at most.
        draw: points of the clusters, or from a Gaussian for each, with its covariance shrunk (OAS).

    Raises:
        InputError: for clusters that do not exist, more clusters than points, and Gaussians of
            clusters without spread.
    """
    points = space.points.to(torch.float32)
    name, needed = "clusters", clusters
    if method == "hdbscan":
        name, needed = "smallest", smallest
        points = points[torch.randperm(len(points), generator=generator)[:HDBSCAN_POINTS]]
    if needed > len(points):
        raise InputError(f"prior 'cluster': {name} = {needed}, but there are {len(points)} points")
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    member, sizes = _by_size(_labels(points, method, needed, components, seed))
    numbers = sorted(set(chosen))
    if numbers[-1] >= len(sizes):
        listed = ", ".join(f"{i}: {size}" for i, size in enumerate(sizes[:20])) or "none"
        raise InputError(
            f"prior 'cluster': cluster {numbers[-1]} was not found. Points by cluster: {listed}"
            "\nChoose among these, or change clusters, smallest or method"
        )
    inside = [points[member == number] for number in numbers]
    count = sum(map(len, inside))
    share = count / len(points)
    if draw == "points":
        return ClusterPoints(Points(torch.cat(inside)), share, len(sizes))
    fits = tuple(map(_gaussian, numbers, inside))
    weights = tuple(len(part) / count for part in inside)
    return ClusterGaussians(MixtureDensity(fits, weights), share, len(sizes))


def _labels(points: Tensor, method: str, size: int, components: int, seed: int) -> Tensor:
    from sklearn.cluster import HDBSCAN, KMeans
    from sklearn.decomposition import PCA

    kept = min(components, *points.shape)
    leading = PCA(kept, random_state=seed).fit_transform(points.numpy())
    if method == "kmeans":
        model = cast("Any", KMeans)(size, n_init=3, random_state=seed)
    else:
        model = cast("Any", HDBSCAN)(min_cluster_size=size, copy=True)
    return torch.from_numpy(model.fit_predict(leading)).long()


def _by_size(labels: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], list[int]]:
    """Labels by falling size, equal sizes in the order found; −1 for points outside."""
    names, counts = labels[labels >= 0].unique(return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    member = torch.full_like(labels, -1)
    for number, name in enumerate(names[order].tolist()):
        member[labels == name] = number
    return member, counts[order].tolist()


def _gaussian(number: int, points: Tensor) -> Gaussian:
    if not bool((points == points[0]).all()):
        found = gaussian.fit(Space("", points), generator=Generator(), shrinkage="oas")
        if isinstance(found, Gaussian):
            return found
    raise InputError(
        f"prior 'cluster': cluster {number} has {len(points)} points without spread, no"
        " Gaussian\nTake draw = 'points', other clusters, or fewer"
    )
