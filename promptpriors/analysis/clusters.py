"""Agreement of clusters with domains."""

from typing import Any, NamedTuple, cast

from jaxtyping import Float, Int
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import check_points


def silhouette(points: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]) -> float:
    """Mean of (b − a) / max(a, b): a the mean distance to one's own label, b to the nearest other.

    In [−1, 1]: near 1 for labels far apart, about 0 for labels that say nothing. By scikit-learn.

    Source: Rousseeuw 1987.

    Raises:
        InputError: for fewer than two labels, as many as points, or a point that is not finite.
    """
    from sklearn.metrics import silhouette_score

    check_points(points, "a silhouette", least=3)
    kinds = len(labels.unique())
    if not 2 <= kinds < len(points):
        raise InputError(
            f"a silhouette needs two labels at least, and fewer than its {len(points)} points; "
            f"found {kinds}"
        )
    return float(silhouette_score(points.numpy(), labels.numpy()))


class Agreement(NamedTuple):
    """Agreement of clusters, found without the labels, with the labels.

    Attributes:
        rand: adjusted Rand index: 1 for equal divisions, 0 for chance. Points outside all clusters
            count as one more cluster.
        clusters: number found.
        outside: share of the points that are in none.
    """

    rand: float
    clusters: int
    outside: float


def hdbscan_agreement(
    points: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], *, size: int = 10
) -> Agreement:
    """Agreement of clusters of density, of ``size`` points at least, with the labels.

    Points are one of a document, labels their domains. By scikit-learn.

    Source: Campello, Moulavi & Sander 2013.

    Raises:
        InputError: for fewer points than a cluster has, or one that is not finite.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.metrics import adjusted_rand_score

    if len(points) < size:
        raise InputError(f"clusters of {size} points and more can't be found in {len(points)}")
    check_points(points, "HDBSCAN")
    found = cast("Any", HDBSCAN)(min_cluster_size=size, copy=True).fit_predict(points.numpy())
    rand = float(adjusted_rand_score(labels.numpy(), found))
    return Agreement(rand, int(found.max()) + 1, float((found < 0).mean()))
