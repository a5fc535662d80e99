"""Tests of two clouds of points: energy distance, permutations, a classifier.

Tokens of one document resemble each other, so the unit of replication is the document: draw one
point of each by ``one_per_group`` before testing, and give ``classifier_auc`` the groups.
"""

import statistics
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import check_points

HELD_OUT = 0.3  # share of each side's groups that the classifier is judged by
EPOCHS = 20  # passes of the classifier over its training part


def energy_distance(
    x: Float[Tensor, "n dim"], y: Float[Tensor, "m dim"], *, chunk: int = 1024
) -> float:
    """2·E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖, unbiased: no point is paired with itself.

    Zero on average, and so at times below, for two samples of one distribution. Distances are
    float32, their sums float64. Samples are of two points at least; ``chunk`` rows at a time bound
    the memory to chunk · max(n, m).

    Source: Székely & Rizzo 2013, equation 2.5, with n(n − 1) pairs instead of n².

    >>> energy_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [4.0]]))
    4.0

    Raises:
        InputError: for fewer points, or one that is not finite.
    """
    for part in (x, y):
        check_points(part, "an energy distance", least=2)
    centre = x.mean(dim=0, dtype=torch.float64)
    x, y = ((part - centre).to(torch.float32) for part in (x, y))
    between = _total_distance(x, y, chunk) / (len(x) * len(y))
    within = [_total_distance(part, part, chunk) / (len(part) * (len(part) - 1)) for part in (x, y)]
    return 2 * between - sum(within)


class Test(NamedTuple):
    """Observed statistic and the share of relabellings that reach it."""

    statistic: float
    p: float


def permutation_test(
    x: Float[Tensor, "n dim"],
    y: Float[Tensor, "m dim"],
    *,
    generator: Generator,
    permutations: int = 999,
) -> Test:
    """Energy distance with p = (1 + relabellings that reach it) / (1 + permutations).

    The pooled distances are computed once, (n + m)² of them. Points must be independent: one of a
    document.

    Raises:
        InputError: for fewer than two points of a sample, or one that is not finite.
    """
    for part in (x, y):
        check_points(part, "a permutation test", least=2)
    pooled = torch.cat([x, y]).to(torch.float64)
    pooled = (pooled - pooled.mean(dim=0)).to(torch.float32)
    distances = torch.cdist(pooled, pooled).fill_diagonal_(0).to(torch.float64)
    order = torch.rand(permutations, len(pooled), generator=generator).argsort(dim=1)
    first = torch.cat([torch.arange(len(pooled))[None], order])[:, : len(x)]
    chosen = torch.zeros(len(first), len(pooled), dtype=torch.float64).scatter_(1, first, 1)
    found = _energies(distances, chosen, len(x))
    rounding = 1e-12 * float(distances.mean())
    reached = int((found[1:] >= found[0] - rounding).sum())
    return Test(float(found[0]), (1 + reached) / (1 + permutations))


def one_per_group(
    points: Float[Tensor, "n dim"], groups: Int[Tensor, " n"], *, generator: Generator
) -> Int[Tensor, " m"]:
    """Numbers of the rows of one random point of each group, in the groups' order."""
    names, member = groups.unique(return_inverse=True)
    order = torch.randperm(len(points), generator=generator)
    least = torch.full((len(names),), len(points))
    return order[least.scatter_reduce_(0, member[order], torch.arange(len(points)), "amin")]


def group_means(
    values: Float[Tensor, "n dim"], groups: Int[Tensor, " n"]
) -> Float[Tensor, "m dim"]:
    """Mean of each group's values in float64, in the groups' order."""
    names, member = groups.unique(return_inverse=True)
    sums = torch.zeros(len(names), values.shape[1], dtype=torch.float64)
    return sums.index_add_(0, member, values.double()) / torch.bincount(member)[:, None]


class Auc(NamedTuple):
    """Areas under the receiver's curve, one a split: 0.5 cannot tell, 1 tells every pair apart."""

    median: float
    values: tuple[float, ...]


def classifier_auc(
    x: Float[Tensor, "n dim"],
    y: Float[Tensor, "m dim"],
    x_groups: Int[Tensor, " n"] | None,
    y_groups: Int[Tensor, " m"] | None,
    *,
    generator: Generator,
    points: int = 5000,
    splits: int = 5,
    hidden: int = 64,
) -> Auc:
    """Area under the curve of a network that tells ``x`` from ``y`` on groups it has not seen.

    Coordinates are standardised on the training part; both sides have equally many points.

    Source: Lopez-Paz & Oquab 2017, with the area under the curve instead of the accuracy.

    Args:
        x: one sample.
        y: the other.
        x_groups: the document of each point; ``None`` where each is its own.
        y_groups: the same.
        generator: of the splits, the choice of points and the network.
        points: at most, of each side.
        splits: of the groups into a part to train on and a held-out part (``HELD_OUT``).
        hidden: units of the network's only hidden layer.

    Raises:
        InputError: for a side of fewer than two groups, or a point that is not finite.
    """
    for cloud, groups in ((x, x_groups), (y, y_groups)):
        check_points(cloud, "a classifier", least=2)
        if groups is not None and len(groups.unique()) < 2:
            raise InputError("a classifier needs 2 groups of each side at least, found 1")
    values = []
    for _ in range(splits):
        sides = [_split(*side, points, generator) for side in ((x, x_groups), (y, y_groups))]
        train, held = (
            [part[: min(map(len, parts))] for part in parts] for parts in zip(*sides, strict=True)
        )
        values.append(_auc(train, held, hidden, generator))
    return Auc(statistics.median(values), tuple(values))


def _total_distance(x: Tensor, y: Tensor, chunk: int) -> float:
    """Sum of all distances, in which a point's to itself is exactly zero where ``x`` is ``y``."""
    total = 0.0
    for start in range(0, len(x), chunk):
        part = torch.cdist(x[start : start + chunk], y)
        if x is y:
            part.diagonal(start).zero_()
        total += float(part.sum(dtype=torch.float64))
    return total


def _energies(
    distances: Float[Tensor, "n n"], chosen: Float[Tensor, "m n"], size: int
) -> Float[Tensor, " m"]:
    """The statistic for each row of ``chosen``, ones for the points that are called x."""
    other = len(distances) - size
    in_x = ((chosen @ distances) * chosen).sum(dim=1)
    between = chosen @ distances.sum(dim=1) - in_x
    in_y = distances.sum() - 2 * between - in_x
    means = in_x / (size * (size - 1)) + in_y / (other * (other - 1))
    return 2 * between / (size * other) - means


def _split(
    cloud: Tensor, groups: Tensor | None, points: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Up to ``points`` rows in random order: a part to train on, and one of other groups."""
    groups = torch.arange(len(cloud)) if groups is None else groups
    names, member = groups.unique(return_inverse=True)
    out = torch.randperm(len(names), generator=generator)[: max(1, round(HELD_OUT * len(names)))]
    held: Bool[Tensor, " n"] = torch.isin(member, out)
    order = torch.randperm(len(cloud), generator=generator)
    test = round(HELD_OUT * points)
    return cloud[order[~held[order]][: points - test]], cloud[order[held[order]][:test]]


def _auc(train: list[Tensor], held: list[Tensor], hidden: int, generator: Generator) -> float:
    from sklearn.metrics import roc_auc_score
    from sklearn.neural_network import MLPClassifier

    def labelled(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
        labels = torch.arange(2).repeat_interleave(torch.tensor([*map(len, parts)]))
        return torch.cat(parts).to(torch.float32), labels

    inputs, labels = labelled(train)
    deviation, mean = torch.std_mean(inputs, dim=0)
    deviation[deviation == 0] = 1
    seed = int(torch.randint(2**31, (), generator=generator))
    model: Any = MLPClassifier((hidden,), random_state=seed)
    for _ in range(EPOCHS):
        model.partial_fit(((inputs - mean) / deviation).numpy(), labels.numpy(), classes=[0, 1])
    inputs, labels = labelled(held)
    scores = model.predict_proba(((inputs - mean) / deviation).numpy())[:, 1]
    return float(roc_auc_score(labels.numpy(), scores))
