"""Displacement and nearest tokens of prompt vectors, a row a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.location import vector_displacements
from promptpriors.figures.canvas import NEUTRAL, canvas
from promptpriors.figures.strings import escape, visible
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of

ROW = 50  # height of a row, in pixels
WIDE = 30.0  # ratio of the largest to the least displacement from which the axis is logarithmic
NULLS = {"real_rows": "real rows", "gaussian": "Gaussian draws"}


def displacement(runs: Sequence[Run], style: RunStyles | None = None) -> go.Figure:
    """Draw ‖final − initial‖ / ‖initial‖ of every vector, a row a run and site.

    Args:
        runs: runs of one model on one task; those that are not done are left out.
        style: of the page; by default that of ``runs``.
    """
    style = style or run_styles(runs)
    strips = [(run, *strip) for run in runs if run.result is not None for strip in _moved(run)]
    several = len({site for _, site, _ in strips}) > 1
    names = [
        escape(style.names[run.id] + (f" · {site}" if several else "")) for run, site, _ in strips
    ]
    figure = _rows(names)
    for i, (run, _, values) in enumerate(strips):
        colour, symbol = style.style(run)
        figure.add_box(
            x=values.numpy(),
            y=[-i] * len(values),
            orientation="h",
            width=0.42,
            boxpoints="all",
            jitter=0.7,
            pointpos=0,
            name=names[i],
            legendgroup=prior_of(run),
            line={"color": colour, "width": 1.2},
            fillcolor="rgba(128, 133, 145, 0.12)",
            marker={"color": colour, "symbol": symbol, "size": 6, "opacity": 0.75},
            hovertemplate="%{x:.3g}<extra>%{fullData.name}</extra>",
            hoveron="points",
        )
    drawn = [value for *_, values in strips for value in values.tolist()]
    wide = bool(drawn) and min(drawn) > 0 and max(drawn) / min(drawn) > WIDE
    axis: dict[str, Any] = {"type": "log"} if wide else {"type": "linear", "rangemode": "tozero"}
    title = "‖final − initial‖ / ‖initial‖" + (", logarithmic" if wide else "")
    figure.update_xaxes(title_text=title, **axis)
    return figure


def _moved(run: Run) -> list[tuple[str, Float[Tensor, " length"]]]:
    """Relative displacement of vectors by site, without starts of length 0."""
    tensors, found = run.tensors(), []
    sites = sorted(k.removeprefix("initial/") for k in tensors if k.startswith("initial/"))
    for site in sites:
        ratio = vector_displacements(tensors[f"initial/{site}"], tensors[f"final/{site}"])
        found.append((site, ratio[ratio.isfinite()]))
    return found


def nearest(
    runs: Sequence[Run],
    nulls: Mapping[str, float] | None = None,
    site: str = "embed",
    style: RunStyles | None = None,
) -> go.Figure:
    """Draw each vector's cosine to the nearest vocabulary row, with null values.

    Args:
        runs: runs of one model on one task; those without stored tokens are left out.
        nulls: mean cosines to hold these against, from the map of the vocabulary.
        site: whose vectors are drawn.
        style: of the page; by default that of ``runs``.
    """
    style = style or run_styles(runs)
    shown = [run for run in runs if tokens_of(run, site)]
    figure = _rows([escape(style.names[run.id]) for run in shown])
    for i, run in enumerate(shown):
        figure.add_trace(_nearest(run, site, "initial", 0.14 - i, "-open", style))
        figure.add_trace(_nearest(run, site, "final", -0.14 - i, "", style))
    for i, (key, value) in enumerate(sorted((nulls or {}).items())):
        figure.add_vline(x=value, line={"dash": "dash", "width": 1.5, "color": NEUTRAL})
        figure.add_annotation(
            x=value, xanchor="right", y=1, yref="paper", yanchor="bottom", yshift=15 * i,
            text=f"{NULLS.get(key, escape(key))} {value:.2f}", showarrow=False, font={"size": 12},
        )  # fmt: skip
    figure.update_layout(margin={"t": 44})
    figure.update_xaxes(title_text="cosine to the nearest vocabulary row")
    return figure


def tokens_of(run: Run, site: str) -> dict[str, list[list[dict[str, Any]]]]:
    """Nearest tokens of each vector by moment (``initial``, ``final``), if stored."""
    return ((run.result or {}).get("nearest_tokens") or {}).get(site) or {}


def _nearest(
    run: Run, site: str, moment: str, height: float, suffix: str, style: RunStyles
) -> go.Scatter:
    colour, symbol = style.style(run)
    best = [(i, near[0]) for i, near in enumerate(tokens_of(run, site)[moment]) if near]
    return go.Scatter(
        x=[token["cosine"] for _, token in best],
        y=[height] * len(best),
        mode="markers",
        name=f"{escape(style.names[run.id])}, {moment}",
        legendgroup=prior_of(run),
        text=[f"vector {i}: “{escape(visible(token['token']))}”" for i, token in best],
        marker={"color": colour, "symbol": symbol + suffix, "size": 8, "opacity": 0.8},
        hovertemplate="%{text} %{x:.3f}<extra>%{fullData.name}</extra>",
    )


def _rows(names: Sequence[str]) -> go.Figure:
    """Figure with one labelled row a name, row i at height −i."""
    figure = canvas(height=ROW * len(names) + 84)
    figure.update_layout(margin={"l": 16, "t": 12}, showlegend=False)
    labels = [
        {"x": 0, "xref": "paper", "xanchor": "left", "y": 0.42 - i, "yanchor": "middle",
         "text": name, "showarrow": False, "font": {"size": 12}}
        for i, name in enumerate(names)
    ]  # fmt: skip
    figure.update_layout(annotations=labels)  # at once: one by one takes quadratic time
    figure.update_yaxes(range=[0.4 - len(names), 0.75], showticklabels=False, showgrid=False)
    figure.update_yaxes(fixedrange=True)
    return figure
