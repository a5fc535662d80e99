"""Stored charts and maps of a runs folder: points at a site on planes, and prompts among them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_tensors, write_tensors
from promptpriors.types import Site

CHARTS = "charts"
"""The folder of charts below a runs folder."""


class Chart(NamedTuple):
    """Points at a site, seen in several layouts that never change afterwards.

    Attributes:
        model: the revision of the model.
        title: what a reader sees in a list of charts.
        domains: what the points come from, such as ``vocabulary`` or ``C4``.
        domain: number of each point's domain.
        document: number of each point's document within its domain.
        labels: token of each point.
        layouts: coordinates by layout, ``pca`` among them and ``tsne`` where it was computed.
        explained: share of the points' variance along the two directions of ``pca``.
        prompts: by run and layout, the prompt's vectors at every stored moment: those of
            ``trajectory/steps``, or start and end.
        source: what it was made from, so that a later start knows whether it is still good.
    """

    model: str
    site: Site
    title: str
    domains: list[str]
    domain: Int[Tensor, " n"]
    document: Int[Tensor, " n"]
    labels: list[str]
    layouts: dict[str, Float[Tensor, "n 2"]]
    explained: Float[Tensor, " 2"]
    prompts: dict[str, dict[str, Float[Tensor, "k length 2"]]]
    source: str = ""


class Map(NamedTuple):
    """A plane through a model's vocabulary, and the tokens on it.

    Attributes:
        model: whose vocabulary it is.
        site: where its points live.
        coordinates: the points on the plane.
        mean: of the vocabulary.
        components: the plane's two unit directions.
        explained: share of the vocabulary's variance along each of them.
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
    _write(path, plane._asdict())


def read_map(path: Path) -> Map:
    """Read a stored map; raises InputError if it is missing or damaged."""
    tensors, metadata = read_tensors(path)
    try:
        found = Map(**{**metadata, **tensors})
    except TypeError as error:
        raise InputError(f"{path} is not a map: {error}") from None
    if wrong := _wrong_map(found):
        raise InputError(f"{path} is not a map: {wrong}")
    return found


def _wrong_map(plane: Map) -> str:
    if not _are_text(plane.model, plane.site):
        return "model and site must be strings"
    if not isinstance(plane.labels, list) or not _are_text(*plane.labels):
        return "labels must be a list of strings"
    nulls = plane.nulls
    if not isinstance(nulls, dict) or not all(
        isinstance(value, float) and math.isfinite(value) for value in nulls.values()
    ):
        return "nulls must be numbers by name"
    mean: Any = plane.mean
    width = mean.shape[0] if isinstance(mean, Tensor) and mean.ndim == 1 else -1
    shapes = {
        "coordinates": (len(plane.labels), 2),
        "mean": (width,),
        "components": (2, width),
        "explained": (2,),
    }
    for name, shape in shapes.items():
        values: Any = getattr(plane, name)
        if not isinstance(values, Tensor) or values.shape != shape:
            return f"{name} must be numbers of the shape {list(shape)}"
        if not values.is_floating_point() or not bool(values.isfinite().all()):
            return f"{name} has values that are no numbers"
    return ""


def write_chart(path: Path, chart: Chart) -> None:
    """Store a chart, creating its folder."""
    fields = chart._asdict()
    layouts, prompts = fields.pop("layouts"), fields.pop("prompts")
    fields |= {f"layout/{name}": points for name, points in layouts.items()}
    for run, paths in prompts.items():
        fields |= {f"prompt/{run}/{name}": points for name, points in paths.items()}
    _write(path, fields)


def _write(path: Path, fields: Mapping[str, Any]) -> None:
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    metadata = {name: value for name, value in fields.items() if name not in tensors}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, metadata)


def read_chart(path: Path) -> Chart:
    """Read a stored chart.

    Raises:
        InputError: if the file is missing, damaged or no chart, or if its parts do not fit.
    """
    tensors, metadata = read_tensors(path)
    layouts: dict[str, Tensor] = {}
    prompts: dict[str, dict[str, Tensor]] = {}
    for name in sorted(key for key in tensors if "/" in key):
        kind, *rest = name.split("/")
        target = layouts if kind == "layout" else prompts.setdefault(rest[0], {})
        target[rest[-1]] = tensors.pop(name)
    try:
        chart = Chart(**{**metadata, **tensors}, layouts=layouts, prompts=prompts)
    except TypeError as error:
        raise InputError(f"{path} is not a chart: {error}") from None
    wrong = _wrong_words(chart) or _wrong_points(chart) or _wrong_prompts(chart)
    if wrong:
        raise InputError(f"{path} is not a chart: {wrong}")
    return chart


def _wrong_words(chart: Chart) -> str:
    lists = (chart.domains, chart.labels)
    if not all(isinstance(found, list) and _are_text(*found) for found in lists):
        return "domains and labels must be lists of strings"
    if not _are_text(chart.model, chart.site, chart.title):
        return "model, site and title must be strings"
    return ""


def _are_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _wrong_points(chart: Chart) -> str:
    n = len(chart.labels)
    if n == 0 or "pca" not in chart.layouts:
        return "it has no points, or the layout `pca` is missing"
    for name, points in chart.layouts.items():
        if points.shape != (n, 2) or not points.is_floating_point():
            return f"layout {name} must be {n} points of 2 coordinates"
        if not points.isfinite().all():
            return f"layout {name} has coordinates that are no numbers"
    numbers: list[Any] = [chart.domain, chart.document]
    if not all(isinstance(found, Tensor) for found in [*numbers, chart.explained]) or any(
        found.shape != (n,) or found.is_floating_point() for found in numbers
    ):
        return f"domain and document must be {n} whole numbers"
    if chart.domain.min() < 0 or chart.domain.max() >= len(chart.domains):
        return f"domain must be a number below {len(chart.domains)}"
    return "" if chart.explained.shape == (2,) else "explained must be 2 shares"


def _wrong_prompts(chart: Chart) -> str:
    for run, layouts in chart.prompts.items():
        kinds = {(path.shape, path.is_floating_point()) for path in layouts.values()}
        shape, is_float = kinds.pop() if len(kinds) == 1 else ((), False)
        if not (is_float and len(shape) == 3 and shape[-1] == 2 and min(shape) > 0):
            return f"prompts of {run} must be moments × vectors × 2, the same in every layout"
    return ""


def list_charts(runs: Path) -> list[Path]:
    """List the charts of a runs folder, by name."""
    return sorted((runs / CHARTS).glob("*.safetensors"))


def thinned(chart: Chart, most: int, generator: torch.Generator) -> Chart:
    """Draw at most ``most`` of the points, in their old order; every prompt stays."""
    if len(chart.labels) <= most:
        return chart
    rows = torch.randperm(len(chart.labels), generator=generator)[:most].sort().values
    return chart._replace(
        domain=chart.domain[rows],
        document=chart.document[rows],
        labels=[chart.labels[i] for i in rows.tolist()],
        layouts={name: points[rows] for name, points in chart.layouts.items()},
    )
