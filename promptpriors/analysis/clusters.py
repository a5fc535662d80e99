"""Do clusters agree with domains, and do domains that share words share more than these?"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.errors import InputError


def silhouette(points: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]) -> float:
    """Mean of (b − a) / max(a, b): a the mean distance to one's own label, b to the nearest other.

    In [−1, 1]: near 1 for labels far apart, about 0 for labels that say nothing.

    Source: Rousseeuw 1987, by scikit-learn.

    Raises:
        InputError: for fewer than two labels.
    """
    from sklearn.metrics import silhouette_score

    if len(labels.unique()) < 2:
        raise InputError("a silhouette needs two labels at least, found one")
    return float(silhouette_score(points.numpy(), labels.numpy()))


class Agreement(NamedTuple):
    """Clusters found without the labels beside the labels.

    Attributes:
        rand: adjusted Rand index: 1 for equal divisions, 0 for chance. Points outside all clusters
            count as one more cluster.
        clusters: how many were found.
        outside: share of the points that are in none.
    """

    rand: float
    clusters: int
    outside: float


def hdbscan_agreement(
    points: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], *, size: int = 10
) -> Agreement:
    """Do clusters of density agree with the labels?

    Source: Campello, Moulavi & Sander 2013, by scikit-learn.

    Args:
        points: one of a document.
        labels: the domain of each.
        size: least points of a cluster.

    Raises:
        InputError: for fewer points than a cluster has.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.metrics import adjusted_rand_score

    if len(points) < size:
        raise InputError(f"clusters of {size} points and more can't be found in {len(points)}")
    options: dict[str, Any] = {"min_cluster_size": size, "copy": True}
    found = HDBSCAN(**options).fit_predict(points.numpy())
    rand = float(adjusted_rand_score(labels.numpy(), found))
    return Agreement(rand, int(found.max()) + 1, float((found < 0).mean()))


class Common(NamedTuple):
    """Rows of two domains that stand for the same tokens: the k-th of one for the k-th's type."""

    first: Int[Tensor, " k"]
    second: Int[Tensor, " k"]


def common_tokens(
    first: Int[Tensor, " n"], second: Int[Tensor, " m"], *, generator: Generator
) -> Common:
    """Rows whose token type occurs in both domains, equally many of each type on both sides.

    Of each type as many rows at random as the domain with fewer has. Draw one point of each
    document first, where the counts have to be equal among documents.

    Args:
        first: token ids of one domain's rows.
        second: of the other's.
        generator: of the choice.
    """
    wide = int(max(first.max(), second.max())) + 1
    counts = torch.minimum(*(torch.bincount(ids, minlength=wide) for ids in (first, second)))
    return Common(*(_some_of_each(ids, counts, generator) for ids in (first, second)))


def _some_of_each(
    ids: Int[Tensor, " n"], counts: Int[Tensor, " types"], generator: Generator
) -> Int[Tensor, " k"]:
    """As many rows of each type as ``counts`` says, at random, in the order of types."""
    order = torch.randperm(len(ids), generator=generator)
    order = order[ids[order].argsort(stable=True)]
    types = ids[order]
    firsts = torch.searchsorted(types, types)
    rank = torch.arange(len(ids)) - firsts
    return order[rank < counts[types]]
