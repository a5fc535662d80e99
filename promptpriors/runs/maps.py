"""The map of a model's vocabulary, stored once per runs folder and shared by its runs."""

from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_tensors, write_tensors


class Map(NamedTuple):
    """A plane through a cloud of points, and the points on it.

    Attributes:
        model: whose vocabulary it is.
        site: where its points live.
        coordinates: the points on the plane.
        mean: the cloud's mean.
        components: the plane's two unit directions.
        explained: share of the cloud's variance along each of them.
        labels: the token string of each point.
        nulls: what figures of a prompt are held against: mean cosine to the nearest vocabulary row
            of other real rows (``real_rows``) and of draws from the fitted Gaussian (``gaussian``).
    """

    model: str
    site: str
    coordinates: Float[Tensor, "n 2"]
    mean: Float[Tensor, " dim"]
    components: Float[Tensor, "2 dim"]
    explained: Float[Tensor, " 2"]
    labels: list[str]
    nulls: dict[str, float]


def write_map(path: Path, plane: Map) -> None:
    """Store a map, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        "coordinates": plane.coordinates,
        "mean": plane.mean,
        "components": plane.components,
        "explained": plane.explained,
    }
    about = {
        "model": plane.model,
        "site": plane.site,
        "labels": plane.labels,
        "nulls": plane.nulls,
    }
    write_tensors(path, tensors, about)


def read_map(path: Path) -> Map:
    """Read a stored map; raises InputError if it is missing or damaged."""
    tensors, about = read_tensors(path)
    try:
        return Map(**{**about, **tensors})
    except TypeError as error:
        raise InputError(f"{path} is not a map: {error}") from None
