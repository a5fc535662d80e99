"""Displacement of prompt vectors in training, relative to the start's length."""

from collections.abc import Sequence

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.location import vector_displacements
from promptpriors.figures.canvas import rows
from promptpriors.figures.strings import escape
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of

WIDE = 30.0
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""


def displacement(runs: Sequence[Run], style: RunStyles | None = None) -> go.Figure:
    """Draw ‖final − initial‖ / ‖initial‖ of every vector, a row a run and site.

    Args:
        runs: runs of one model on one task; those that are not done are left out.
        style: the look of the page; by default that of ``runs``.
    """
    style = style or run_styles(runs)
    strips = [(run, *strip) for run in runs if run.result is not None for strip in moved(run)]
    sites = {site for _, site, _ in strips}
    names = [
        escape(style.names[run.id] + (f" · {site}" if len(sites) > 1 else ""))
        for run, site, _ in strips
    ]
    figure = rows(names)
    for i, (run, _, values) in enumerate(strips):
        figure.add_trace(_strip(values, -i, names[i], run, style))
    wide = _is_wide([value for *_, values in strips for value in values.tolist()])
    title = "‖final − initial‖ / ‖initial‖" + (", logarithmic" if wide else "")
    figure.update_xaxes(title_text=title, type="log" if wide else "linear")
    if not wide:
        figure.update_xaxes(rangemode="tozero")
    return figure


def moved(run: Run) -> list[tuple[str, Float[Tensor, " length"]]]:
    """Relative displacement of vectors by site, without starts of length 0."""
    tensors = run.tensors()
    found = []
    for key in sorted(key for key in tensors if key.startswith("initial/")):
        site = key.removeprefix("initial/")
        ratio = vector_displacements(tensors[key], tensors[f"final/{site}"])
        found.append((site, ratio[ratio.isfinite()]))
    return found


def _is_wide(values: list[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > WIDE


def _strip(
    values: Float[Tensor, " length"], row: int, name: str, run: Run, style: RunStyles
) -> go.Box:
    colour, symbol = style.style(run)
    return go.Box(
        x=values.numpy(),
        y=[row] * len(values),
        orientation="h",
        width=0.42,
        boxpoints="all",
        jitter=0.7,
        pointpos=0,
        name=name,
        legendgroup=prior_of(run),
        line={"color": colour, "width": 1.2},
        fillcolor="rgba(128, 133, 145, 0.12)",
        marker={"color": colour, "symbol": symbol, "size": 6, "opacity": 0.75},
        hovertemplate="%{x:.3g}<extra>%{fullData.name}</extra>",
        hoveron="points",
    )
