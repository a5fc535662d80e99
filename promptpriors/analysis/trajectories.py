"""Distances between a text's tokens, against those of shuffled and random tokens.

A path is the points of one text in their order. The unit is the document: ratios are averaged over
a document's paths before they are tested.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.analysis.significance import sign_flip_test
from promptpriors.analysis.two_sample import Test, group_means
from promptpriors.errors import InputError
from promptpriors.geometry import check_points
from promptpriors.types import Space


def step_length(path: Float[Tensor, "*draws time dim"]) -> Float[Tensor, "*draws"]:
    """Mean distance of consecutive points.

    >>> float(step_length(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 3.0]])))
    3.0
    """
    return path.diff(dim=-2).norm(dim=-1).mean(dim=-1)


def spread(path: Float[Tensor, "*draws time dim"]) -> Float[Tensor, "*draws"]:
    """Root mean square distance of the points from their mean.

    >>> float(spread(torch.tensor([[0.0, 0.0], [6.0, 8.0]])))
    5.0
    """
    centred = path - path.mean(dim=-2, keepdim=True)
    return centred.square().sum(dim=-1).mean(dim=-1).sqrt()


class Paths(NamedTuple):
    """Paths and the document that each comes from."""

    paths: list[Float[Tensor, "_ dim"]]
    documents: Int[Tensor, " n"]


def paths_of(space: Space, *, least: int = 8) -> Paths:
    """Stretches of ``least`` consecutive tokens or more, of a space in the order of its texts.

    Raises:
        InputError: for a space without groups and positions, or without any such path.
    """
    if space.groups is None or space.positions is None:
        raise InputError(
            "paths need a space with the document and position of each point; load one with"
            " pool = 'token'"
        )
    starts = (space.groups.diff() != 0) | (space.positions.diff() != 1)
    ends = [*(starts.nonzero()[:, 0] + 1).tolist(), len(space.points)]
    sizes = torch.tensor([0, *ends]).diff().tolist()
    paths = [path for path in space.points.split(sizes) if len(path) >= least]
    if not paths:
        raise InputError(f"no {least} points of this space are consecutive points of one text")
    documents = [group[0] for group in space.groups.split(sizes) if len(group) >= least]
    return Paths(paths, torch.stack(documents))


class Against(NamedTuple):
    """Ratio and rank of paths beside one null.

    Attributes:
        ratios: of each path: observed over the geometric mean of its null draws.
        ratio: their geometric mean, of documents' geometric means; 1 under the null.
        test: sign flips of documents' mean ranks, two-sided. A path's rank is the share of its null
            draws that it exceeds, minus ½: symmetric about 0 under the null however skewed the
            draws are, which logarithms of ratios are not.
    """

    ratios: Float[Tensor, " n"]
    ratio: float
    test: Test


class Localisation(NamedTuple):
    """Step length and spread of paths against each null; shuffling leaves the spread as it is."""

    step: Mapping[str, Against]
    spread: Mapping[str, Against]


def localisation(
    paths: Sequence[Float[Tensor, "_ dim"]],
    pools: Mapping[str, Float[Tensor, "_ dim"]],
    *,
    generator: Generator,
    documents: Int[Tensor, " n"] | None = None,
    draws: int = 20,
) -> Localisation:
    """Step length and spread of paths, against chance.

    Nulls are the path's own tokens ``shuffled``, and for each pool as many of its points at random.

    Args:
        paths: of three points at least.
        pools: clouds by name: the domain's own tokens make unigram draws, a vocabulary with each
            row once makes the uniform draws of the random walk in arXiv 2412.18582.
        generator: of the draws.
        documents: that the paths come from; None: each its own.
        draws: of each null for each path.

    Raises:
        InputError: for paths too short or without extent, too few documents for a test, or a pool
            without points or with one that is not finite.
    """
    if min(map(len, paths), default=0) < 3:
        raise InputError("paths need 3 points at least: two can't be shuffled to any effect")
    for name, pool in pools.items():
        check_points(pool, f"the pool {name!r}")
    steps: dict[str, list[Tensor]] = {name: [] for name in ("shuffled", *pools)}
    spreads: dict[str, list[Tensor]] = {name: [] for name in pools}
    for path in paths:
        order = torch.rand(draws, len(path), generator=generator).argsort(dim=1)
        steps["shuffled"].append(_beside(step_length(path), step_length(path[order])))
        for name, pool in pools.items():
            rows = torch.randint(len(pool), (draws, len(path)), generator=generator)
            drawn = pool[rows]
            steps[name].append(_beside(step_length(path), step_length(drawn)))
            spreads[name].append(_beside(spread(path), spread(drawn)))
    units = torch.arange(len(paths)) if documents is None else documents

    def tested(found: Mapping[str, list[Tensor]]) -> dict[str, Against]:
        return {name: _against(torch.stack(f), units, generator) for name, f in found.items()}

    return Localisation(tested(steps), tested(spreads))


def _beside(observed: Float[Tensor, ""], nulls: Float[Tensor, " draws"]) -> Float[Tensor, "2"]:
    """Logarithm of the ratio, and the centred rank among the draws."""
    log = observed.double().log() - nulls.double().log().mean()
    rank = (observed - nulls).double().sign().mean() / 2
    return torch.stack([log, rank])


def _against(
    found: Float[Tensor, "n 2"], documents: Int[Tensor, " n"], generator: Generator
) -> Against:
    still = ~found.isfinite().all(dim=1)
    if bool(still.any()):
        raise InputError(
            f"path {int(still.nonzero()[0])} or a random one beside it is one point repeated: leave"
            " out short paths and those of one token"
        )
    logs, ranks = group_means(found, documents).unbind(dim=1)
    test = sign_flip_test(ranks, generator=generator)
    return Against(found[:, 0].exp(), float(logs.mean().exp()), test)
