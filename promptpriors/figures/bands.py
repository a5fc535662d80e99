"""Curves of a study's arms: mean validation loss over seeds, on the band of its t interval."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from promptpriors.analysis.plateau import MeanCurve
from promptpriors.figures.canvas import NEUTRAL, canvas
from promptpriors.figures.strings import clipped, escape
from promptpriors.figures.styles import DOTTED, PLAIN, ArmStyle

FAINT, FAINTEST = 0.18, 0.06
"""Opacity of a band, alone and among many."""

MARKED = 8
"""Marks on a curve."""

NARROW = 3
"""Runs from which on a band counts for the frame: that of two may be 13 times their range."""

PAD = 0.04
"""Of the frame's height, left free above and below."""

PRECISION = np.float32
"""Seven digits, packed in half the room."""


class Level(NamedTuple):
    """Validation loss across the curves: ``role`` is ``floor``, ``ceiling`` or ``text``."""

    name: str
    value: float
    role: str = "text"


def reach(curves: Sequence[MeanCurve], levels: Sequence[Level] = ()) -> tuple[float, float]:
    """Find the lowest and highest loss that a frame need show; 0 to 1 without curves.

    It holds every mean and level, and the bands of ``NARROW`` or more runs.
    """
    drawn = [found for found in curves if found.runs >= NARROW]
    values = [value for found in curves for value in found.mean]
    values += [value for found in drawn for value in (*found.low, *found.high)]
    values += [level.value for level in levels]
    if not values:
        return 0.0, 1.0
    pad = PAD * (max(values) - min(values))
    return min(values) - pad, max(values) + pad


def opacity(curves: Sequence[MeanCurve]) -> float:
    """Opacity of a band: the more arms there are, the less."""
    return max(FAINTEST, min(FAINT, 1 / max(1, len({found.arm for found in curves}))))


def bands(
    curves: Sequence[MeanCurve],
    levels: Sequence[Level] = (),
    *,
    styles: Mapping[str, ArmStyle] | None = None,
    choices: Sequence[Sequence[str]] | None = None,
    reference: str | None = None,
) -> go.Figure:
    """Draw each curve on its band, and the levels as lines across.

    Args:
        curves: in the order of the study.
        levels: losses of what is not trained, or trained otherwise.
        styles: of the arms; grey where there is none.
        choices: for each curve the choices of a selector under which it is shown.
        reference: the arm whose line is thicker.
    """
    figure = canvas(height=480)
    figure.update_layout(margin={"t": 28})
    faint = opacity(curves)
    last = max((step for found in curves for step in found.steps), default=1)
    for i, found in enumerate(curves):
        style = (styles or {}).get(found.arm, PLAIN)
        meta: dict[str, Any] = {"apart": style.dash == DOTTED}
        if choices is not None:
            meta["choices"] = list(choices[i])
        if found.low:
            figure.add_trace(_band(found, style, meta, faint))
        figure.add_trace(_mean(found, style, meta, thick=found.arm == reference))
    for level in levels:
        figure.add_trace(_line(level, last))
    figure.update_xaxes(title_text="training step", rangemode="tozero", showgrid=False)
    low, high = reach(curves, levels)
    figure.update_yaxes(
        title_text="validation loss, nats per target token",
        autorangeoptions={"clipmin": low, "clipmax": high},
    )
    return figure


def _band(found: MeanCurve, style: ArmStyle, meta: dict[str, Any], faint: float) -> go.Scatter:
    red, green, blue = (int(style.colour[i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=np.array([*found.steps, *found.steps[::-1]], np.int32),
        y=np.array([*found.high, *found.low[::-1]], PRECISION),
        mode="lines",
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, {faint:.3g})",
        line={"width": 0},
        hoverinfo="skip",
        name=f"{escape(found.arm)}, {escape(found.rate)}, 95 %",
        legendgroup=found.arm,
        meta=meta | {"band": True},
    )


def _mean(found: MeanCurve, style: ArmStyle, meta: dict[str, Any], *, thick: bool) -> go.Scatter:
    spans = [f"{a:.4f} to {b:.4f}" for a, b in zip(found.low, found.high, strict=True)]
    count = f"{found.runs} run{'s' if found.runs > 1 else ''}"
    return go.Scatter(
        x=np.array(found.steps, np.int32),
        y=np.array(found.mean, PRECISION),
        text=spans or ["one run, no interval"] * len(found.steps),
        mode="lines+markers",
        line={"color": style.colour, "width": 3 if thick else 2, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 7, "maxdisplayed": MARKED},
        name=", ".join(map(escape, filter(None, (found.arm, found.rate, count)))),
        legendgroup=found.arm,
        cliponaxis=False,
        meta=meta,
        hovertemplate="step %{x}: <b>%{y:.4f}</b><br>%{text}<extra>%{fullData.name}</extra>",
    )


def _line(level: Level, last: int) -> go.Scatter:
    """A dashed line with its name at the end: the floor's above it, any other's below."""
    name = f"{escape(clipped(level.name, 36))} {level.value:.3f}"
    return go.Scatter(
        x=[0, last],
        y=[level.value, level.value],
        text=["", name],
        textposition="top left" if level.role == "floor" else "bottom left",
        textfont={"size": 12},
        mode="lines+text",
        line={"color": NEUTRAL, "width": 1.5, "dash": "dash"},
        name=name,
        cliponaxis=False,
        hovertemplate="%{fullData.name}<extra></extra>",
    )
