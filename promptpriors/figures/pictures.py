"""The paper's figures drawn by matplotlib from stored pictures."""

import io
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

from promptpriors.files import write_bytes
from promptpriors.runs.pictures import Layer, Panel, Picture, stem

COLOURS = {
    "data": "#a7abb3",
    "second": "#6fa8dc",
    "third": "#b8a14a",
    "sampled": "#1f6fb4",
    "trained": "#d62f4b",
    "other": "#2e8b57",
    "question": "#11603a",
    "answer": "#3ac25e",
    "centre": "#2f9e44",
}
"""By role, the same in every figure; they follow the paper's where it names one."""
SYMBOLS = {"sampled": "o", "trained": "D", "other": "s", "answer": "^", "centre": "P"}
FEW = 3000  # points from which on a cloud's points are small and faint
OUTSIDE = 0.002  # share of a cloud at each edge that a frame does not wait for
INCHES, SMALL = 5.0, 1.9  # side of a panel, and of one among many
MANY = 6  # panels from which on they are small and have no legends


def draw(picture: Picture) -> Any:
    """Draw a picture as a matplotlib Figure on white."""
    from matplotlib.figure import Figure

    count = len(picture.panels)
    columns = min(picture.columns, count)
    rows = math.ceil(count / columns)
    side = SMALL if count > MANY else INCHES
    figure = Figure(figsize=(columns * side, rows * side + 0.5), layout="constrained", dpi=130)
    figure.suptitle(f"{picture.number}. {picture.title}", fontsize=11, x=0.01, ha="left")
    subplots = list(figure.subplots(rows, columns, squeeze=False).flat)
    every = [layer for panel in picture.panels for layer in panel.layers]
    for axes, panel in zip(subplots, picture.panels, strict=False):
        framed = every if picture.one_map else panel.layers
        _panel(axes, panel, framed, small=count > MANY)
    for axes in subplots[count:]:
        axes.set_axis_off()
    return figure


def _panel(axes: Any, panel: Panel, framed: list[Layer], *, small: bool) -> None:
    for layer in panel.layers:
        _layer(axes, layer)
    outside = _frame(axes, panel.layers, framed)
    if outside:
        style = {"transform": axes.transAxes, "ha": "right", "fontsize": 6, "color": "#666666"}
        axes.text(0.99, 0.01, f"{outside:,} outside", **style)
    axes.set_title(panel.title, fontsize=7 if small else 9)
    axes.set_xlabel(panel.axes[0], fontsize=8)
    axes.set_ylabel(panel.axes[1], fontsize=8)
    axes.tick_params(labelsize=5 if small else 7, length=2)
    axes.set_box_aspect(1)
    axes.spines[["top", "right"]].set_visible(False)
    if not small and len(panel.layers) > 1:
        legend = axes.legend(fontsize=7, frameon=False, loc="best", markerscale=1.4)
        for handle, layer in zip(legend.legend_handles, panel.layers, strict=True):
            handle.set_alpha(1)
            if layer.kind == "cloud":
                handle.set_sizes([24])


def _of(layers: list[Layer], kind: str) -> torch.Tensor:
    return torch.cat([torch.empty(0, 2), *(x.points for x in layers if x.kind == kind)])


def _frame(axes: Any, layers: list[Layer], framed: list[Layer]) -> int:
    """Frame all marks and nearly all of the clouds of ``framed``; how many points are outside."""
    clouds, every = _of(layers, "cloud"), _of(framed, "cloud")
    if not len(clouds):
        return 0
    edges = torch.quantile(every, torch.tensor([OUTSIDE, 1 - OUTSIDE]), dim=0)
    shown = torch.cat([edges, _of(framed, "marks")])
    low, high = shown.amin(dim=0), shown.amax(dim=0)
    room = 0.08 * (high - low)
    low, high = low - room, high + room
    axes.set_xlim(float(low[0]), float(high[0]))
    axes.set_ylim(float(low[1]), float(high[1]))
    return int(((clouds < low) | (clouds > high)).any(dim=1).sum())


def _layer(axes: Any, layer: Layer) -> None:
    x, y = layer.points.T.numpy()
    colour, name = COLOURS[layer.role], layer.name
    if layer.kind == "cloud":
        size, alpha = (8, 0.6) if len(x) < FEW else (3, 0.25)
        axes.scatter(x, y, size, colour, alpha=alpha, label=name, linewidths=0, rasterized=True)
    elif layer.kind == "marks":
        size, edge = (34, 0.6) if len(x) <= 100 else (9, 0.2)
        axes.scatter(
            x, y, size, color=colour, label=name, marker=SYMBOLS.get(layer.role, "o"),
            alpha=0.95, linewidths=edge, edgecolors="white",
        )  # fmt: skip
    else:
        axes.plot(x, y, "-o", color=colour, label=name, markersize=3, linewidth=1, alpha=0.8)


class Written(NamedTuple):
    """Files of a drawn figure."""

    png: Path
    svg: Path


def save(picture: Picture, folder: Path) -> Written:
    """Draw a picture into ``figNN.png`` and ``figNN.svg``, each whole or not at all."""
    figure = draw(picture)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for kind, fixed in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=fixed)
        found.append(folder / f"{stem(picture.number)}.{kind}")
        write_bytes(found[-1], buffer.getvalue())
    return Written(*found)
