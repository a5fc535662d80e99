"""Vectors from the thin regions of the space: near it, but with their neighbours farther away."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import neighbour_distance
from promptpriors.priors import gaussian
from promptpriors.priors.gaussian import AffineGaussian, Gaussian
from promptpriors.registry import Field
from promptpriors.types import Space

REFERENCES = 8192  # points, at most, among which neighbours are looked for
PROBES = 4096  # candidates by which acceptance is measured, and at most so many at a time
HOPELESS = 1e-3  # acceptance below which the prior is refused


@dataclass(frozen=True)
class LowDensity:
    """Candidates whose k-th nearest point lies ``low`` to ``high`` times ``unit`` away.

    Attributes:
        rows: the points among which neighbours are looked for.
        wide: where candidates come from; where it is None, αx + (1 − α)y of two of the points,
            α ~ U[0, 1].
        neighbours: k.
        unit: median distance of a point to its own k-th nearest.
        low: least multiple.
        high: largest multiple.
        acceptance: share of candidates that are accepted, measured at the fit.
    """

    rows: Float[Tensor, "m dim"]
    wide: Gaussian | AffineGaussian | None
    neighbours: int
    unit: float
    low: float
    high: float
    acceptance: float

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        kept = [self.rows[:0]]
        missing = n
        while missing > 0:
            size = min(PROBES, math.ceil(1.5 * missing / self.acceptance) + 16)
            candidates = self.candidates(size, generator)
            distances = self.distances(candidates)
            accepted = (distances >= self.low) & (distances <= self.high)
            kept.append(candidates[accepted][:missing])
            missing -= len(kept[-1])
        return torch.cat(kept)

    def report(self) -> dict[str, float]:
        """``acceptance`` and ``neighbour_distance``, the data's own, in the points' unit."""
        return {"acceptance": self.acceptance, "neighbour_distance": self.unit}

    def candidates(self, n: int, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draws before any is rejected."""
        if self.wide is not None:
            return self.wide.sample(n, generator=generator)
        x, y = self.rows[torch.randint(len(self.rows), (2, n), generator=generator)]
        return y.lerp(x, torch.rand(n, 1, generator=generator))

    def distances(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Distance to the k-th nearest point as a multiple of the data's own."""
        return neighbour_distance(x, self.rows, k=self.neighbours) / self.unit


def fit(
    space: Space,
    *,
    generator: Generator,
    candidates: Literal["pairs", "gaussian"] = "pairs",
    widen: Annotated[float, Field(gt=0)] = 1.5,
    neighbours: Annotated[int, Field(ge=1)] = 10,
    low: Annotated[float, Field(ge=0)] = 1.0,
    high: Annotated[float, Field(gt=0)] = 1.5,
) -> LowDensity:
    """Measure the data's distance to its neighbours, and how many candidates are accepted.

    Args:
        space: the points; neighbours are looked for among at most 8,192 of them, at random.
        generator: of the choice of points and of the candidates.
        candidates: on the line between two points, or from the points' Gaussian, widened.
        widen: factor of that Gaussian's standard deviations.
        neighbours: which neighbour's distance counts.
        low: least distance, as a multiple of the median distance of a point to its own neighbour.
        high: largest distance.

    Raises:
        InputError: for too few points, an empty interval, points that are mostly copies of each
            other, or when hardly any candidate is accepted.
    """
    if low >= high:
        raise InputError(f"prior 'low_density': low = {low} must be below high = {high}")
    if len(space.points) <= neighbours:
        raise InputError(
            f"prior 'low_density': neighbours = {neighbours} needs more points than"
            f" {len(space.points)}\nTake fewer neighbours"
        )
    chosen = torch.randperm(len(space.points), generator=generator)[:REFERENCES]
    rows = space.points[chosen].to(torch.float32)
    probes = torch.arange(min(len(rows), PROBES))
    own = neighbour_distance(rows[probes], rows, k=neighbours, exclude=probes)
    if (unit := float(own.median())) == 0:
        raise InputError(
            f"prior 'low_density': most points have {neighbours} copies of themselves"
            "\nTake more neighbours, or each point once"
        )
    wide = None
    if candidates == "gaussian":
        core = gaussian.fit(space, generator=generator)
        wide = replace(core, factor=core.factor * widen)
    prior = LowDensity(rows, wide, neighbours, unit, float(low), float(high), 1.0)
    distances = prior.distances(prior.candidates(PROBES, generator))
    share = float(((distances >= low) & (distances <= high)).double().mean())
    if share < HOPELESS:
        least, most = distances.quantile(torch.tensor([0.05, 0.95])).tolist()
        raise InputError(
            f"prior 'low_density': {share:.2%} of the candidates = {candidates!r} lie between"
            f" low = {low} and high = {high}; 90 % of them between {least:.2f} and {most:.2f}\n"
            "Take low and high from there, other candidates, or another widen"
        )
    return replace(prior, acceptance=share)
