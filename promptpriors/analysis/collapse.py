"""Collapse of a trained prompt's vectors onto real points, against chance.

The unit is the run: a run's vectors are averaged, and claims are made over runs.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import normalize

from promptpriors.analysis.significance import (
    Interval,
    monte_carlo_p,
    refuse_few,
    sign_flip_test,
    t_interval,
)
from promptpriors.analysis.two_sample import Test
from promptpriors.geometry import check_points, nearest_by_cosine, neighbour_distance

Metric = Literal["euclidean", "cosine"]


def nearest(
    x: Float[Tensor, "n dim"], cloud: Float[Tensor, "m dim"], *, metric: Metric = "euclidean"
) -> Float[Tensor, " n"]:
    """Distance of each row to its nearest row of ``cloud``: ‖x − c‖, or 1 − cos(x, c).

    Raises:
        InputError: without points, or for one that is not finite.
    """
    check_points(x, "a distance to the nearest point")
    check_points(cloud, "a distance to the nearest point")
    if metric == "cosine":
        return 1 - nearest_by_cosine(x, cloud).cosine[:, 0]
    return neighbour_distance(x, cloud)


class Against(NamedTuple):
    """Mean of a run over its vectors beside one null.

    Attributes:
        null: mean over the null draws.
        p: share of the draws that are as near as the run or nearer, one-sided.
    """

    observed: float
    null: float
    p: float

    @property
    def effect(self) -> float:
        """Observed minus null: below 0 for a run that is nearer to the cloud."""
        return self.observed - self.null


class Collapse(NamedTuple):
    """One run against three nulls.

    Attributes:
        moved: change of the distance to the nearest row, against the same start plus a displacement
            of the same length in a random direction, for each vector.
        redrawn: final distance, against that of fresh draws of the prior.
        normed: final distance, against that of draws of the Gaussian fitted to the cloud, rescaled
            to the norms of the final vectors, the longest to the largest and so on: a Gaussian's
            long vectors have other directions than its short ones.
    """

    moved: Against
    redrawn: Against
    normed: Against


def collapse(
    initial: Float[Tensor, "length dim"],
    final: Float[Tensor, "length dim"],
    cloud: Float[Tensor, "m dim"],
    *,
    redrawn: Float[Tensor, "k length dim"],
    gaussian: Float[Tensor, "j length dim"],
    generator: Generator,
    draws: int = 199,
    metric: Metric = "euclidean",
) -> Collapse:
    """Distance of a trained prompt to the cloud, against three kinds of chance.

    Args:
        initial: a run's vectors before training.
        final: and after it.
        cloud: the vocabulary, or real activations at the prompt's site.
        redrawn: fresh draws of the run's prior.
        gaussian: draws of the Gaussian fitted to the cloud.
        generator: of the random displacements.
        draws: number of these.
        metric: of the distance.

    Raises:
        InputError: for so few draws that p could not reach 5 %, and as ``nearest``.
    """
    check_points(initial, "the collapse of a prompt")
    kinds = ("displacements", "prompts redrawn", "prompts of the Gaussian")
    for number, kind in zip((draws, len(redrawn), len(gaussian)), kinds, strict=True):
        refuse_few(number, kind, lambda n: 1 / (1 + n), 0.05)
    before, after = (float(nearest(x, cloud, metric=metric).mean()) for x in (initial, final))
    displacement = final - initial
    directions = normalize(torch.randn(draws, *final.shape, generator=generator), dim=-1)
    moved = initial + directions * displacement.norm(dim=-1, keepdim=True)
    by_norm = gaussian.norm(dim=-1).argsort(dim=1)[..., None]
    unit = normalize(gaussian.take_along_dim(by_norm, dim=1), dim=-1)
    normed = unit * final.norm(dim=-1).sort().values[:, None]
    return Collapse(
        _against(after - before, _means(moved, cloud, metric) - before),
        _against(after, _means(redrawn, cloud, metric)),
        _against(after, _means(normed, cloud, metric)),
    )


class OverRuns(NamedTuple):
    """Effect beside one null over runs: mean with its t interval, and sign flips, two-sided."""

    interval: Interval
    test: Test


def collapse_over_runs(
    effects: Float[Tensor, " runs"], *, generator: Generator, level: float = 0.95
) -> OverRuns:
    """Mean of the runs' effects beside one null; p must be able to reach 1 − level.

    Raises:
        InputError: for too few runs.
    """
    test = sign_flip_test(effects, generator=generator, level=round(1 - level, 12))
    return OverRuns(t_interval(effects, level=level), test)


def _means(
    prompts: Float[Tensor, "k length dim"], cloud: Float[Tensor, "m dim"], metric: Metric
) -> Float[Tensor, " k"]:
    """Mean over each prompt's vectors of the distance to the nearest row."""
    found = nearest(prompts.flatten(0, 1), cloud, metric=metric)
    return found.unflatten(0, prompts.shape[:2]).mean(dim=1)


def _against(observed: float, nulls: Float[Tensor, " k"]) -> Against:
    return Against(observed, float(nulls.mean()), monte_carlo_p(observed, nulls, side="less"))
