"""Curves of a study's arms: mean validation loss over seeds, on the band of its t interval."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from promptpriors.analysis.plateau import MeanCurve
from promptpriors.errors import clipped
from promptpriors.figures.canvas import NEUTRAL, canvas
from promptpriors.figures.strings import escape
from promptpriors.figures.styles import DOTTED, PLAIN, ArmStyle

FAINT, FAINTEST = 0.18, 0.06  # opacity of a band, alone and among many
NARROW = 3  # runs from which on a band counts for the frame: that of two may be 13 times as wide
PAD = 0.04  # of the frame's height, left free above and below


class Level(NamedTuple):
    """Validation loss across the curves: ``role`` is ``floor``, ``ceiling`` or ``text``."""

    name: str
    value: float
    role: str = "text"


def reach(curves: Sequence[MeanCurve], levels: Sequence[Level] = ()) -> tuple[float, float]:
    """Find the lowest and highest loss that a frame need show; 0 to 1 without curves.

    It holds every mean and level, and the bands of ``NARROW`` or more runs.
    """
    values = [level.value for level in levels]
    for found in curves:
        values += [*found.mean, *((*found.low, *found.high) if found.runs >= NARROW else ())]
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
        meta |= {} if choices is None else {"choices": list(choices[i])}
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
        y=np.array([*found.high, *found.low[::-1]], np.float32),  # packed in half the room
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
        y=np.array(found.mean, np.float32),
        text=spans or ["one run, no interval"] * len(found.steps),
        mode="lines+markers",
        line={"color": style.colour, "width": 3 if thick else 2, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 7, "maxdisplayed": 8},
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
