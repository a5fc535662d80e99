"""Unimodality of a cloud, as far as a few directions show it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from promptpriors.analysis.significance import refuse_few
from promptpriors.errors import InputError
from promptpriors.geometry import check_points

ROUNDS = 20  # of Lloyd's algorithm at most; both means move little after a few


class Unimodality(NamedTuple):
    """Dip along some directions.

    Attributes:
        dips: by direction: ``component 1`` …, ``two means``.
        p: by direction, adjusted for looking at all of them.
        joint: the least of those: p of the hypothesis that the cloud is a Gaussian.
    """

    dips: Mapping[str, float]
    p: Mapping[str, float]
    joint: float


def dip(values: Float[Tensor, " n"]) -> float:
    """Largest distance of the empirical distribution function from the nearest unimodal one.

    From 0 for equally spaced values to 1/4 for two points, whatever the scale.

    Source: Hartigan & Hartigan 1985, by the library diptest.

    >>> round(dip(torch.tensor([0.0] * 50 + [1.0] * 50)), 2)
    0.25

    Raises:
        InputError: without values, for one that is not finite, or without the library.
    """
    check_points(values, "a dip")
    try:
        from diptest import dipstat
    except ImportError:
        raise InputError(
            "this needs the library diptest: pip install promptpriors[diptest]"
        ) from None
    found: Any = dipstat(values.double().numpy())
    return float(found)


def unimodality_test(
    points: Float[Tensor, "n dim"],
    *,
    generator: Generator,
    nulls: int = 199,
    components: int = 3,
    span: int = 10,
) -> Unimodality:
    """The dip along leading principal components and from mean to mean of a division into two.

    The null is a Gaussian, exact for every covariance and every n: the scores of a Gaussian sample
    on its own components are a uniformly distributed orthonormal frame times the singular values,
    and independent of these. So null draws have the sample's own singular values (hence an equal
    covariance) and new frames; two means are fitted anew to each, from the signs of each component.
    p is adjusted by the maximum over directions of the dips, standardised by the draws and the
    sample together.

    A small p rejects the Gaussian for a distribution with gaps; heavy tails, one hump, have smaller
    dips than the Gaussian. Points must be independent: one of a document. The two means are looked
    for among the leading ``span`` components.

    Raises:
        InputError: for too few points or null draws, or a point that is not finite.
    """
    check_points(points, "a test of unimodality", least=0)
    refuse_few(nulls, "null draws", lambda n: 1 / (1 + n), 0.05)
    if len(points) < components + 4:
        raise InputError(
            f"{components} components need {components + 4} points, found {len(points)}"
        )
    centred = points.double() - points.double().mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    rank = min(int((sizes > 1e-6 * sizes[0]).sum()), span, len(points) - 2)
    if rank < components:
        raise InputError(f"{components} components: these points have spread in {rank} alone")
    frames = torch.randn(nulls, len(points), rank, generator=generator, dtype=torch.float64)
    frames = torch.linalg.qr(frames - frames.mean(dim=1, keepdim=True)).Q
    scores = torch.cat([left[None, :, :rank], frames]) * sizes[:rank]
    dips = _dips(scores, components)
    high = (dips - dips.mean(dim=0)) / dips.std(dim=0)
    most = high.max(dim=1).values
    p = [float((most >= value).double().mean()) for value in high[0]]
    names = [*(f"component {number + 1}" for number in range(components)), "two means"]
    found = dict(zip(names, dips[0].tolist(), strict=True))
    return Unimodality(found, dict(zip(names, p, strict=True)), min(p))


def _dips(
    scores: Float[Tensor, "draws n rank"], components: int
) -> Float[Tensor, "draws directions"]:
    leading = scores[..., :components]
    found = [_between_means(scores, start > 0) for start in leading.unbind(dim=2)]
    along, between = map(torch.stack, zip(*found, strict=True))
    best = between.argmax(dim=0)
    lines = along[best, torch.arange(len(best))]
    directions = torch.cat([leading, lines[..., None]], dim=2)
    return torch.tensor([[dip(values) for values in draw.T] for draw in directions])


def _between_means(
    scores: Float[Tensor, "draws n rank"], second: Bool[Tensor, "draws n"]
) -> tuple[Float[Tensor, "draws n"], Float[Tensor, " draws"]]:
    """Clouds along the lines through their two means, and the variance between, by Lloyd."""
    along, between = scores[..., 0], torch.zeros(len(scores), dtype=scores.dtype)
    for _ in range(ROUNDS):
        weights = second.to(scores.dtype)
        share = weights.mean(dim=1, keepdim=True)
        high = torch.einsum("bnr,bn->br", scores, weights) / weights.sum(dim=1, keepdim=True)
        low = -high * share / (1 - share)
        along = torch.einsum("bnr,br->bn", scores, high - low)
        between = (share * (1 - share))[:, 0] * (high - low).square().sum(dim=1)
        middle = ((high + low) * (high - low)).sum(dim=1, keepdim=True) / 2
        if torch.equal(second, along > middle):
            break
        second = along > middle
    return along, between
