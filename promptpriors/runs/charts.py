"""Charts of a runs folder: points at a site on maps that stay, and prompts' ways on them."""

from pathlib import Path
from typing import NamedTuple

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
        model: whose site it is, as its revision.
        site: where in the network the points live.
        title: what a reader sees in a list of charts.
        domains: what the points come from, such as ``vocabulary`` or ``C4``.
        domain: the number of each point's domain.
        document: the number of each point's document within its domain.
        labels: the token of each point.
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


def write_chart(path: Path, chart: Chart) -> None:
    """Store a chart, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: getattr(chart, name) for name in ("domain", "document", "explained")}
    tensors |= {f"layout/{name}": points for name, points in chart.layouts.items()}
    for run, layouts in chart.prompts.items():
        tensors |= {f"prompt/{run}/{name}": way for name, way in layouts.items()}
    words = {
        name: getattr(chart, name)
        for name in ("model", "site", "title", "domains", "labels", "source")
    }
    write_tensors(path, {name: t.contiguous() for name, t in tensors.items()}, words)


def read_chart(path: Path) -> Chart:
    """Read a stored chart.

    Raises:
        InputError: if the file is missing, damaged or no chart.
    """
    tensors, about = read_tensors(path)
    layouts: dict[str, Tensor] = {}
    prompts: dict[str, dict[str, Tensor]] = {}
    for name in sorted(key for key in tensors if "/" in key):
        kind, *rest = name.split("/")
        target = layouts if kind == "layout" else prompts.setdefault(rest[0], {})
        target[rest[-1]] = tensors.pop(name)
    try:
        chart = Chart(**{**about, **tensors}, layouts=layouts, prompts=prompts)
        whole = {len(chart.labels), len(chart.domain), *map(len, layouts.values())}
    except TypeError as error:
        raise InputError(f"{path} is not a chart: {error}") from None
    if len(whole) != 1 or "pca" not in layouts:
        raise InputError(f"{path} is not a chart: its parts differ in length, or `pca` is missing")
    return chart


def list_charts(runs: Path) -> list[Path]:
    """The charts of a runs folder, by name."""
    return sorted((runs / CHARTS).glob("*.safetensors"))


def thinned(chart: Chart, most: int, generator: torch.Generator) -> Chart:
    """At most ``most`` of the points, drawn at random and in their old order; every prompt."""
    if len(chart.labels) <= most:
        return chart
    rows = torch.randperm(len(chart.labels), generator=generator)[:most].sort().values
    return chart._replace(
        domain=chart.domain[rows],
        document=chart.document[rows],
        labels=[chart.labels[i] for i in rows.tolist()],
        layouts={name: points[rows] for name, points in chart.layouts.items()},
    )
