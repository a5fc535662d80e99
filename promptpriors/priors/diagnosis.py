"""Figures of a prior beside a space: size, spread, radius, distance with a p-value."""

import torch
from torch import Tensor

from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import energy_distance, one_per_group, permutation_test
from promptpriors.errors import InputError
from promptpriors.geometry import rms
from promptpriors.priors import gaussian
from promptpriors.priors.points import Stretches
from promptpriors.priors.posterior import Prompts
from promptpriors.rng import generator
from promptpriors.types import Prior, Reporting, Space

TOGETHER = (Prompts, Stretches)  # a draw's vectors belong together: it is a prompt
FEW = 4  # groups from which on the space can be held against itself


def diagnose(
    prior: Prior, space: Space, *, draws: int = 1024, length: int = 20, seed: int = 0
) -> dict[str, float | None]:
    """Figures of a prior's draws beside a space.

    Args:
        prior: the prior.
        space: usually what it was fitted to, or held-out points of the same kind.
        draws: from the prior; of the space as many points are taken.
        length: vectors of a prompt; where those of one draw belong together (``points`` with
            ``contiguous``, ``posterior`` with ``draw = "prompt"``, and what is made of these),
            prompts of this length are drawn until there are enough.
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
        InputError: for a space of another width, or of fewer than two points, and for a length
            that the prior can't draw.
    """
    n = len(space.points)
    drawn = _drawn(prior, draws, length, generator(seed, "diagnose", "draws"))
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
        **_tested(prior, space, draws, length, seed),
    }
    return found | (prior.report() if isinstance(prior, Reporting) else {})


def _radius(drawn: Tensor, space: Space) -> float | None:
    if bool((space.points == space.points[0]).all()):
        return None
    fitted = gaussian.fit(space, generator=generator(0), shrinkage="oas")
    return float(fitted.radius(drawn.double()).median()) / fitted.rank**0.5


def _tested(
    prior: Prior, space: Space, draws: int, length: int, seed: int
) -> dict[str, float | None]:
    groups = torch.arange(len(space.points)) if space.groups is None else space.groups
    stream = generator(seed, "diagnose", "test")
    units = one_per_group(space.points, groups, generator=stream)
    units = units[torch.randperm(len(units), generator=stream)[:draws]]
    if len(units) < FEW:
        return {"energy_space": None, "p": None}
    one = space.points[units].float()
    as_many = _drawn(prior, len(units), length, generator(seed, "diagnose", "units"), apart=True)
    half = torch.isin(groups, groups[units[: len(units) // 2]])
    halves = [space.points[part] for part in (half, ~half)]
    halves = [part[torch.randperm(len(part), generator=stream)[:draws]].float() for part in halves]
    return {
        "energy_space": energy_distance(*halves) if min(map(len, halves)) > 1 else None,
        "p": permutation_test(as_many, one, generator=stream).p,
    }


def _drawn(
    prior: Prior, n: int, length: int, stream: torch.Generator, *, apart: bool = False
) -> Tensor:
    """``n`` vectors, those of a prompt together or, apart, no two of one prompt."""
    if not _together(prior):
        return prior.sample(n, generator=stream)
    if apart:
        chosen = torch.randint(length, (n,), generator=stream).tolist()
        return torch.stack([prior.sample(length, generator=stream)[i] for i in chosen])
    return torch.cat([prior.sample(length, generator=stream) for _ in range(-(-n // length))])[:n]


def _together(prior: Prior) -> bool:
    """Whether the vectors of one draw belong together, in the prior or in one inside it."""
    fields = getattr(prior, "__dict__", {}).values()
    held = [v for field in fields for v in (field if isinstance(field, tuple) else (field,))]
    return isinstance(prior, TOGETHER) or any(_together(v) for v in held if isinstance(v, Prior))
