"""Cosine of prompt vectors to their nearest vocabulary rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from promptpriors.figures.canvas import NEUTRAL, rows
from promptpriors.figures.strings import escape, visible
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of

NULLS = {"real_rows": "real rows", "gaussian": "Gaussian draws"}
MOMENTS = (("initial", 0.14, "-open"), ("final", -0.14, ""))


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
        style: the look of the page; by default that of ``runs``.
    """
    style = style or run_styles(runs)
    shown = [run for run in runs if tokens_of(run, site)]
    figure = rows([escape(style.names[run.id]) for run in shown])
    for i, run in enumerate(shown):
        for moment, offset, suffix in MOMENTS:
            figure.add_trace(_marks(run, site, moment, offset - i, suffix, style))
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
    stored = (run.result or {}).get("nearest_tokens") or {}
    return stored.get(site) or {}


def _marks(
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
