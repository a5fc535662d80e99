"""What a prior is like beside a space: size, spread, radius, distance with a p-value."""

import torch
from torch import Tensor

from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import energy_distance, one_per_group, permutation_test
from promptpriors.errors import InputError
from promptpriors.geometry import rms
from promptpriors.priors import gaussian
from promptpriors.priors.points import Stretches
from promptpriors.rng import generator
from promptpriors.types import Elliptical, Prior, Reporting, Space

LENGTH = 20
"""Vectors of a stretch: the usual length of a prompt."""
FEW = 4
"""Groups from which on the space can be held against itself."""


def diagnose(
    prior: Prior, space: Space, *, draws: int = 1024, seed: int = 0
) -> dict[str, float | None]:
    """Figures of a prior's draws beside a space.

    Args:
        prior: the prior.
        space: usually what it was fitted to, or held-out points of the same kind.
        draws: from the prior; of the space as many points are taken.
        seed: of all that is random.

    Returns:
        ``rms``: root mean square per coordinate of the draws, over the space's; ``effective_rank``
        of the draws and ``effective_rank_space``, in coordinates standardised by the space;
        ``radius``: median Mahalanobis radius of the draws under the space's Gaussian (covariance
        shrunk by OAS), over √rank; ``energy``: energy distance between draws and space;
        ``energy_space``: between two halves of the space, split by group, the scale to read it by;
        ``p``: of the permutation test with one point a group against as many draws; and whatever
        the prior reports of itself. None where it can't be known.

    Raises:
        InputError: for a space of another width, or of fewer than two points.
    """
    n = len(space.points)
    drawn = _drawn(prior, draws, generator(seed, "diagnose", "draws"))
    if n < 2 or drawn.shape[1] != space.points.shape[1]:
        raise InputError(
            f"the space at {space.site!r} has {n} points of {space.points.shape[1]} coordinates; "
            f"expected at least two of the prior's {drawn.shape[1]}"
        )
    points = space.points.float()
    order = torch.randperm(n, generator=generator(seed, "diagnose", "points"))[:draws]
    some = points[order]
    found: dict[str, float | None] = {
        "rms": rms(drawn) / rms(points) if rms(points) else None,
        "effective_rank": effective_rank(drawn, scale=scale_of(points)),
        "effective_rank_space": effective_rank(some, scale=scale_of(points)),
        "radius": _radius(drawn, space),
        "energy": energy_distance(drawn, some) if draws > 1 and len(some) > 1 else None,
        **_tested(prior, space, draws, seed),
    }
    return found | (prior.report() if isinstance(prior, Reporting) else {})


def _radius(drawn: Tensor, space: Space) -> float | None:
    if bool((space.points == space.points[0]).all()):
        return None
    fitted = gaussian.fit(space, generator=generator(0), shrinkage="oas")
    if not isinstance(fitted, Elliptical):
        return None
    return float(fitted.radius(drawn.double()).median()) / fitted.rank**0.5


def _tested(prior: Prior, space: Space, draws: int, seed: int) -> dict[str, float | None]:
    groups = torch.arange(len(space.points)) if space.groups is None else space.groups
    stream = generator(seed, "diagnose", "test")
    units = one_per_group(space.points, groups, generator=stream)
    units = units[torch.randperm(len(units), generator=stream)[:draws]]
    if len(units) < FEW:
        return {"energy_space": None, "p": None}
    one = space.points[units].float()
    as_many = _drawn(prior, len(units), generator(seed, "diagnose", "units"), length=1)
    half = torch.isin(groups, groups[units[: len(units) // 2]])
    halves = [_some(space.points[part], draws, stream) for part in (half, ~half)]
    return {
        "energy_space": energy_distance(*halves) if min(map(len, halves)) > 1 else None,
        "p": permutation_test(as_many, one, generator=stream).p,
    }


def _drawn(prior: Prior, n: int, stream: torch.Generator, *, length: int = LENGTH) -> Tensor:
    """``n`` vectors; of a prior whose draws are stretches, so many stretches as that takes."""
    if not isinstance(prior, Stretches):
        return prior.sample(n, generator=stream)
    whole = min(length, int(prior.left.max()))
    parts = [prior.sample(whole, generator=stream) for _ in range(-(-n // whole))]
    return torch.cat(parts)[:n]


def _some(points: Tensor, count: int, stream: torch.Generator) -> Tensor:
    return points[torch.randperm(len(points), generator=stream)[:count]].float()
