"""A t-SNE map that stays: fitted to data once, later points are placed into it."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import check_points, moments

DIRECTIONS = 50  # principal ones, that neighbours are looked for in


class Tsne(NamedTuple):
    """Fitted map.

    Attributes:
        coordinates: of the points that it was fitted to.
        mean: of these points.
        directions: principal ones, in which neighbours are looked for.
        embedding: openTSNE's, which places further points.
    """

    coordinates: Float[Tensor, "n 2"]
    mean: Float[Tensor, " dim"]
    directions: Float[Tensor, "dim k"]
    embedding: Any

    def place(self, points: Float[Tensor, "m dim"]) -> Float[Tensor, "m 2"]:
        """Put further points on the map, each for itself; none of the old ones moves.

        Raises:
            InputError: for a point that is not finite.
        """
        check_points(points, "t-SNE", least=0)
        if not len(points):
            return torch.empty(0, 2)
        found = self.embedding.transform(_seen(points, self.mean, self.directions))
        return torch.tensor(found, dtype=torch.float32)


def fit_tsne(points: Float[Tensor, "n dim"], *, seed: int = 0, perplexity: int = 30) -> Tsne:
    """t-SNE by openTSNE: 50 principal directions, start from the first two, a fixed seed.

    Distances between far clusters and the sizes of clusters mean nothing on such a map. The
    perplexity is about the number of a point's neighbours.

    Source: Poličar, Stražar & Zupan 2024 (openTSNE); Kobak & Berens 2019 for the start.

    Raises:
        InputError: for fewer than three points a neighbour, points that are all equal or not
            finite, or without openTSNE.
    """
    try:
        from openTSNE import TSNE
    except ImportError:
        raise InputError("t-SNE needs openTSNE: pip install 'promptpriors[opentsne]'") from None
    if len(points) < 3 * perplexity:
        raise InputError(
            f"t-SNE with perplexity {perplexity} needs {3 * perplexity} points, found {len(points)}"
        )
    check_points(points, "t-SNE", spread=True)
    found = moments(points)
    directions = torch.linalg.eigh(found.covariance)[1][:, -DIRECTIONS:].flip(1)
    threads = torch.get_num_threads()
    fit = TSNE(perplexity=perplexity, initialization="pca", random_state=seed, n_jobs=threads)
    embedding = fit.fit(_seen(points, found.mean, directions))
    coordinates = torch.tensor(embedding, dtype=torch.float32)
    check_points(coordinates, "t-SNE of these points")  # openTSNE gives NaN without a word
    return Tsne(coordinates, found.mean, directions, embedding)


def _seen(points: Tensor, mean: Tensor, directions: Tensor) -> Any:
    return ((points.double() - mean) @ directions).numpy()
