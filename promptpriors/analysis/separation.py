"""Separation of domains, in units that compare, and what of it is not their words alone.

The unit is the document: each gives one point, a random one or the mean of its points.
"""

from collections.abc import Mapping
from functools import partial
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.analysis.significance import Interval, jackknife_interval
from promptpriors.analysis.two_sample import group_means, one_per_group, permutation_test
from promptpriors.errors import InputError, unknown
from promptpriors.geometry import check_points
from promptpriors.types import Space

NEEDED = 8  # documents of a domain, so that its halves have a permutation test
CHUNK = 1024  # rows whose distances are computed at once

Pair = tuple[str, str]


class Separation(NamedTuple):
    """Distance of one domain from another.

    Attributes:
        distance: energy distance of the two, one point a document.
        ratio: the distance over the reference, with a jackknife interval over documents.
        p: of permuting documents; not adjusted for the number of pairs.
    """

    distance: float
    ratio: Interval
    p: float


def separations(
    domains: Mapping[str, Space],
    *,
    reference: Pair,
    generator: Generator,
    means: bool = False,
    permutations: int = 999,
    blocks: int = 20,
) -> dict[Pair, Separation]:
    """Energy distance between every two domains, and between two halves of each, on one scale.

    Args:
        domains: spaces of one site by name.
        reference: what is 1: the energy distance between two domains; of one domain twice, the mean
            distance between two of its documents.
        generator: of points, halves and permutations.
        means: a document's mean instead of a random point.
        permutations: of each pair.
        blocks: of documents, that the jackknife deletes in turn from all domains at once. For
            halves, which do not differ, its interval is too wide rather than too narrow.

    Returns:
        By pair of names; a name twice is one half of its documents against the other.

    Raises:
        InputError: for an unknown reference or one that is no distance, too few documents, or
            points that are not finite.
    """
    clouds = _clouds(domains, reference, generator, means)
    table = _table(clouds, blocks)
    rows = torch.arange(table.blocks)
    found = {}
    for pair in combinations_with_replacement(clouds, 2):
        x, y = (clouds[name] for name in pair)
        if pair[0] == pair[1]:
            x, y = x[: len(x) // 2], x[len(x) // 2 :]
        test = permutation_test(x, y, generator=generator, permutations=permutations)
        statistic = partial(table.ratio, pair, reference)
        ratio = jackknife_interval(statistic, rows, generator=generator, blocks=len(rows))
        found[pair] = Separation(test.statistic, ratio, test.p)
    return found


def excess(
    here: Mapping[str, Space],
    there: Mapping[str, Space],
    *,
    reference: Pair,
    generator: Generator,
    means: bool = False,
    blocks: int = 20,
    quotient: bool = False,
) -> dict[Pair, Interval]:
    """Separation here minus separation there; each over its own reference.

    A site against ``embed``, where it is that of words alone; or behind a prompt against without
    one, where less means that the prompt bridges the domains. The same points of the same documents
    are compared on both sides.

    Args:
        here: domains.
        there: the same rows elsewhere.
        reference: as for ``separations``, taken on each side.
        generator: of points.
        means: as there.
        blocks: as there.
        quotient: here over there instead: 1 where nothing changed, 0 where domains have met.

    Raises:
        InputError: for spaces of other rows, and as ``separations``.
    """
    for name, space in here.items():
        if name not in there or not _same_rows(space, there[name]):
            raise InputError(
                f"domain {name!r} has other rows at {space.site} than what it is held against; "
                "load both alike, from one store or from stores of the same documents"
            )
    again = generator.clone_state()
    one = _table(_clouds(here, reference, generator, means), blocks)
    other = _table(_clouds({name: there[name] for name in here}, reference, again, means), blocks)

    def beyond(pair: Pair, kept: Int[Tensor, " kept"]) -> float:
        found, against = (table.ratio(pair, reference, kept) for table in (one, other))
        return found / against if quotient else found - against

    rows = torch.arange(one.blocks)
    return {
        pair: jackknife_interval(partial(beyond, pair), rows, generator=generator, blocks=len(rows))
        for pair in combinations(here, 2)
    }


def document_points(
    space: Space, *, generator: Generator, means: bool = False
) -> Float[Tensor, "m dim"]:
    """One point a document, without groups each: a random one of its points or their mean."""
    if space.groups is None:
        return space.points
    if not means:
        return space.points[one_per_group(space.points, space.groups, generator=generator)]
    return group_means(space.points, space.groups).to(space.points.dtype)


class _Table(NamedTuple):
    """Sums of the distances between cells of documents: half and block of each domain."""

    sums: Float[Tensor, "cells cells"]
    sizes: Float[Tensor, " cells"]
    names: tuple[str, ...]
    blocks: int

    def ratio(self, pair: Pair, reference: Pair, kept: Int[Tensor, " kept"]) -> float:
        """Energy distance of a pair over the reference, of the blocks that are kept."""
        x, y = (self._cells(name, kept) for name in pair)
        one, other = (self._cells(name, kept) for name in reference)
        same = pair[0] == pair[1]
        apart = self._energy(x[: len(kept)], x[len(kept) :]) if same else self._energy(x, y)
        alike = reference[0] == reference[1]
        whole = self._mean(one, one) if alike else self._energy(one, other)
        if not whole:
            raise InputError(
                f"the reference {' and '.join(dict.fromkeys(reference))} has distance 0, by which "
                "nothing can be measured; name another"
            )
        return apart / whole

    def _cells(self, name: str, kept: Tensor) -> Int[Tensor, " cells"]:
        first = 2 * self.blocks * self.names.index(name)
        return torch.cat([first + kept, first + self.blocks + kept])

    def _energy(self, x: Tensor, y: Tensor) -> float:
        return 2 * self._mean(x, y) - self._mean(x, x) - self._mean(y, y)

    def _mean(self, x: Tensor, y: Tensor) -> float:
        """Mean distance between different documents; ``x`` twice is all pairs within."""
        n, m = float(self.sizes[x].sum()), float(self.sizes[y].sum())
        return float(self.sums[x][:, y].sum()) / (n * (m - 1 if x is y else m))


def _table(clouds: Mapping[str, Tensor], blocks: int) -> _Table:
    blocks = min(blocks, *(len(cloud) // 2 for cloud in clouds.values()))
    cells = []
    for number, cloud in enumerate(clouds.values()):
        rows = torch.arange(len(cloud))
        half = (rows >= len(cloud) // 2).long()
        cells.append((2 * number + half) * blocks + rows % blocks)
    points, cell = torch.cat(list(clouds.values())).double(), torch.cat(cells)
    points = (points - points.mean(dim=0)).float()
    member = torch.nn.functional.one_hot(cell, 2 * blocks * len(clouds)).double()
    sums = torch.zeros(member.shape[1], member.shape[1], dtype=torch.float64)
    for start in range(0, len(points), CHUNK):
        part = torch.cdist(points[start : start + CHUNK], points)
        part.diagonal(start).zero_()
        sums += member[start : start + CHUNK].T @ (part.double() @ member)
    return _Table(sums, member.sum(dim=0), tuple(clouds), blocks)


def _clouds(
    domains: Mapping[str, Space], reference: Pair, generator: Generator, means: bool
) -> dict[str, Tensor]:
    """One point a document, documents in random order."""
    for name in reference:
        if name not in domains:
            raise unknown("domain", name, domains)
    found = {}
    for name, space in domains.items():
        cloud = document_points(space, generator=generator, means=means)
        if len(cloud) < NEEDED:
            raise InputError(f"domain {name!r} needs {NEEDED} documents, found {len(cloud)}")
        check_points(cloud, f"domain {name!r}")
        found[name] = cloud[torch.randperm(len(cloud), generator=generator)]
    return found


def _same_rows(one: Space, other: Space) -> bool:
    pairs = [(one.groups, other.groups), (one.positions, other.positions)]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return len(one.points) == len(other.points) and all(torch.equal(a, b) for a, b in known)
