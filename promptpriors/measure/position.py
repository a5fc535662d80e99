"""Prior against posterior: where one run's vectors at one site started and ended."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from promptpriors.analysis.collapse import Against, collapse
from promptpriors.analysis.location import between, displacement, kept
from promptpriors.analysis.reach import mahalanobis, reach_ratio
from promptpriors.analysis.spread import Scale, effective_rank
from promptpriors.geometry import Moments, moments, neighbour_distance
from promptpriors.priors import fit_prior
from promptpriors.rng import generator
from promptpriors.runs import Run
from promptpriors.types import Prior, Site, Space

DRAWS = 99
"""Null prompts."""
CENTRED = 4096
"""Draws by which a prior's mean is measured."""

View = Callable[[Tensor], Tensor]


class Cloud:
    """Real points of a site and how a run's vectors are held against them; measured once.

    Args:
        points: as they are stored.
        view: into visible coordinates; None for raw ones.
    """

    def __init__(self, points: Tensor, view: View | None = None) -> None:
        self.raw = points
        self.points = points if view is None else view(points)

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the points as they are seen."""
        return moments(self.points)

    @cached_property
    def scale(self) -> Scale:
        """Mean and deviation of each coordinate."""
        return Scale(self.moments.mean, self.moments.covariance.diagonal().sqrt())

    @cached_property
    def gaussian(self) -> Prior:
        """The Gaussian of the raw points."""
        return fit_prior("gaussian", Space("points", self.raw))


class Ends(NamedTuple):
    """A run's vectors at a site, and the peak rates of its steps there."""

    run: str
    site: str
    start: Tensor
    end: Tensor
    rates: list[float]


def ends_of(run: Run, site: Site) -> Ends:
    """What a finished run says of its vectors at a site."""
    tensors = run.tensors()
    rates = [record["lr"].get(site) for record in run.metrics() if record.get("lr")]
    start, end = (tensors[f"{when}/{site}"].float() for when in ("initial", "final"))
    return Ends(run.id, site, start, end, [float(rate or 0) for rate in rates])


class Position(NamedTuple):
    """What is said of a run at a site; the effects on collapse are compared over runs.

    Attributes:
        record: by name.
        effects: observed minus null distance to the nearest point, by null.
    """

    record: dict[str, float | bool | None]
    effects: dict[str, float]


def position(ends: Ends, cloud: Cloud | None, prior: Prior | None, view: View | None) -> Position:
    """Measure a run at a site, in raw coordinates or as a block sees them.

    Args:
        ends: the run's vectors.
        cloud: real points of the site with the same view; None where there are none, which leaves
            much out.
        prior: what the vectors were drawn from, for fresh draws; None leaves that null out.
        view: into visible coordinates; None for raw ones.
    """
    see = view or (lambda points: points)
    start, end = see(ends.start), see(ends.end)
    record: dict[str, float | bool | None] = {
        "displacement": displacement({"": start}, {"": end}),
        "norm, start": float(start.norm(dim=1).mean()),
        "norm, end": float(end.norm(dim=1).mean()),
        "mean distance of two vectors, start": _apart(start),
        "mean distance of two vectors, end": _apart(end),
    }
    if view is None and prior is not None:
        record |= _about_prior(ends, prior)
    if cloud is None:
        return Position(record, {})
    found = cloud.moments
    for when, vectors in (("start", start), ("end", end)):
        radius = mahalanobis(vectors, found.mean, found.covariance).median()
        record |= {
            f"effective rank, {when}": effective_rank(vectors, scale=cloud.scale),
            f"radius in the data over √rank, {when}": float(radius),
            f"distance to the nearest point, {when}": float(
                neighbour_distance(vectors, cloud.points).mean()
            ),
        }
    if view is None:
        record["reach ratio"] = reach_ratio(ends.rates, ends.start, cloud.points)
    nulls = _nulls(ends, cloud, prior, see)
    for name, against in nulls.items():
        record |= {f"nearest, {name} null": against.null, f"p, {name}": against.p}
    return Position(record, {name: against.effect for name, against in nulls.items()})


def _about_prior(ends: Ends, prior: Prior) -> dict[str, float | None]:
    """What is left of the start, and for a prior between two others where on the line it lies."""
    about = centre(prior, ends.site)
    record: dict[str, float | None] = {"kept of the start": kept(ends.start, ends.end, about)}
    inner = [getattr(prior, name, None) for name in ("first", "second")]
    first, second = (part if isinstance(part, Prior) else None for part in inner)
    if first is not None and second is not None:
        centres = centre(first, ends.site), centre(second, ends.site)
        record["between the priors, start"] = between(ends.start, *centres)
        record["between the priors, end"] = between(ends.end, *centres)
    return record


def centre(prior: Prior, site: Site) -> Tensor:
    """A prior's mean at a site, of shape (dim,), measured by draws that are always the same."""
    stream = generator(0, "compare", "centre", site)
    return prior.sample(CENTRED, generator=stream).double().mean(dim=0)


def _nulls(ends: Ends, cloud: Cloud, prior: Prior | None, see: View) -> dict[str, Against]:
    """The three nulls; in visible coordinates lengths are all one, so displacements are raw."""
    stream = generator(0, "compare", ends.run, ends.site)
    size = (DRAWS, *ends.start.shape)

    def draws(source: Prior) -> Tensor:
        flat = see(source.sample(size[0] * size[1], generator=stream))
        return flat.unflatten(0, size[:2])

    gaussian = draws(cloud.gaussian)
    found = collapse(
        see(ends.start),
        see(ends.end),
        cloud.points,
        redrawn=gaussian if prior is None else draws(prior),
        gaussian=gaussian,
        generator=stream,
        draws=DRAWS,
    )
    return {
        name: against
        for name, against in found._asdict().items()
        if name != "redrawn" or prior is not None
    }


def _apart(vectors: Tensor) -> float | None:
    return float(torch.pdist(vectors).mean()) if len(vectors) > 1 else None
