"""Differences to a reference with their intervals, a row each, on the margin of equality."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import plotly.graph_objects as go

from promptpriors.errors import clipped
from promptpriors.figures.canvas import NEUTRAL, canvas
from promptpriors.figures.strings import escape, signed
from promptpriors.figures.styles import MARKS, PLAIN, ArmStyle, verdict_label
from promptpriors.runs.studies import CONTROLS
from promptpriors.runs.study_results import Contrast, Verdict

ROW = 46  # height of a row, in pixels
APART = 0.8  # rows of room above the controls, for the word that sets them apart
WIDE = 6.0  # an interval that reaches so many times as far as the median one may leave the frame
BAND = "rgba(128, 133, 145, 0.16)"


class Effect(NamedTuple):
    """Arm less the reference with its interval, in units of the metric, as a row of the figure."""

    name: str
    difference: float
    low: float
    high: float
    verdict: Verdict
    control: bool = False

    @property
    def reach(self) -> float:
        """Largest distance of the difference and its interval from 0."""
        return max(abs(self.difference), abs(self.low), abs(self.high))

    def text(self, decimals: int) -> str:
        """Write the difference with its interval."""
        middle, low, high = (signed(v, decimals) for v in (self.difference, self.low, self.high))
        return f"{middle} ({low} to {high})"


def ordered(contrasts: Iterable[Contrast]) -> list[Effect]:
    """Sort arms by difference, then controls; those without a difference are left out."""
    effects = [
        Effect(c.arm, found.value, found.low, found.high, c.verdict, c.kind in CONTROLS)
        for c in contrasts
        if (found := c.difference) is not None
    ]
    return sorted(effects, key=lambda effect: (effect.control, effect.difference))


def heights(shown: Sequence[Effect]) -> list[float]:
    """Height of each row, the first at 0, controls a little apart."""
    return [-i - APART * effect.control for i, effect in enumerate(shown)]


def above_controls(shown: Sequence[Effect]) -> float | None:
    """Height of the line between arms and controls; None without one of them."""
    rows = zip(shown, heights(shown), strict=True)
    first = next((height for effect, height in rows if effect.control), None)
    if first is None or first == -APART:
        return None
    return first + (1 + APART) / 2 - 0.14


def frame(shown: Sequence[Effect], margin: float | None) -> tuple[float, float]:
    """Find the ends of the axis: all intervals but those that reach much farther than most.

    A positive control is meant to be far away, and would leave the arms no room.
    """
    arms = [effect for effect in shown if not effect.control] or shown
    limit = max(WIDE * median(effect.reach for effect in arms), 2 * (margin or 0.0))
    values = [0.0, *(() if margin is None else (-margin, margin))]
    for effect in shown:
        if effect.reach <= limit:
            values += [effect.difference, effect.low, effect.high]
    room = 0.08 * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room


def decimals(shown: Sequence[Effect]) -> int:
    """Choose decimals that leave half the median reach two significant digits.

    >>> equal = Verdict(state="equal")
    >>> [decimals([Effect("a", 0.0, 0.0, high, equal)]) for high in (0.12, 1234.0)]
    [3, 0]
    """
    reach = median(effect.reach for effect in shown) / 2
    return max(0, 1 - math.floor(math.log10(reach))) if reach > 0 else 3


def forest(
    contrasts: Iterable[Contrast],
    *,
    reference: str,
    margin: float | None,
    axis: str,
    styles: Mapping[str, ArmStyle] | None = None,
) -> go.Figure:
    """Draw a row an arm, the smallest difference on top and controls below.

    Args:
        contrasts: at least one with a difference.
        reference: the arm at 0.
        margin: half the width of the band within which arms count as equal, in the same units.
        axis: what is measured, in which unit.
        styles: of the arms; grey where there is none.
    """
    rows = ordered(contrasts)
    places = heights(rows)
    low, high = frame(rows, margin)
    digits = decimals(rows)
    figure = canvas(height=round(ROW * (1 - places[-1])) + 128)
    figure.update_layout(margin={"l": 16, "r": 16, "t": 40, "b": 72}, showlegend=False)
    figure.update_yaxes(range=[places[-1] - 0.6, 0.85], showticklabels=False, showgrid=False)
    figure.update_yaxes(fixedrange=True)
    name = escape(clipped(reference))
    figure.update_xaxes(range=[low, high], title_text=f"{escape(axis)},<br>less that of {name}")
    if margin is not None:
        figure.add_vrect(-margin, margin, fillcolor=BAND, line_width=0, layer="below")
    figure.add_vline(0, line={"width": 1.5, "color": NEUTRAL})
    side = -low / (high - low)
    labels = [{
        "x": 0, "y": 1, "yref": "paper", "yanchor": "bottom", "text": name, "showarrow": False,
        "xanchor": "left" if side < 0.2 else "right" if side > 0.8 else "center",
    }]  # fmt: skip
    for effect, height in zip(rows, places, strict=True):
        style = (styles or {}).get(effect.name, PLAIN)
        figure.add_trace(_interval(effect, height, (low, high), style, digits))
        labels += _labels(effect, height, digits)
    first = above_controls(rows)
    if first is not None:
        labels.append({
            "x": 0, "xref": "paper", "xanchor": "left", "y": first, "yanchor": "bottom",
            "text": "<i>controls</i>", "showarrow": False, "font": {"size": 12},
        })  # fmt: skip
        figure.add_hline(first, line={"width": 1, "color": BAND})
    figure.update_layout(annotations=labels)  # one by one, each would check all before it
    return figure


def _interval(
    effect: Effect, height: float, within: tuple[float, float], style: ArmStyle, digits: int
) -> go.Scatter:
    """The difference as a mark on its interval; an arrow at the edge where it is outside."""
    colour, symbol, _ = style
    low, high = within
    place = min(max(effect.difference, low), high)
    if place != effect.difference:
        symbol = "triangle-right" if place == high else "triangle-left"
    verdict = escape(effect.verdict.text)
    hollow = symbol.endswith("-open")  # its line is thick; a filled mark is set off from its bar
    edge = {"width": 2.5} if hollow else {"width": 1, "color": "white"}
    return go.Scatter(
        x=[place],
        y=[height],
        error_x={
            "type": "data", "symmetric": False, "array": [max(effect.high, place) - place],
            "arrayminus": [place - min(effect.low, place)], "color": colour,
            "thickness": 2.5, "width": 0,
        },
        mode="markers",
        name=escape(effect.name),
        legendgroup=effect.name,
        text=[f"{effect.text(digits)}<br>{MARKS[effect.verdict.state].sign} {verdict}"],
        marker={"color": colour, "symbol": symbol, "size": 12, "line": edge},
        cliponaxis=place == effect.difference,
        hovertemplate="%{text}<extra>%{fullData.name}</extra>",
    )  # fmt: skip


def _labels(effect: Effect, height: float, digits: int) -> list[dict[str, Any]]:
    """The arm above its row, at the other side the verdict, and the numbers where there is room."""
    line: dict[str, Any] = {"y": height + 0.4, "yanchor": "middle", "xref": "paper"}
    line |= {"showarrow": False, "font": {"size": 12}}
    name, verdict = escape(clipped(effect.name)), escape(verdict_label(effect.verdict))
    right = line | {"x": 1, "xanchor": "right"}
    return [
        line | {"x": 0, "xanchor": "left", "text": name},
        right | {"text": verdict},
        right | {"text": effect.text(digits), "xshift": -176, "name": "wide"},
    ]
