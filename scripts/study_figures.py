"""Figures of a study by matplotlib, for documents: differences, and curves with bands."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptpriors.analysis.plateau import MeanCurve
from promptpriors.errors import clipped
from promptpriors.figures.bands import Level, opacity, reach
from promptpriors.figures.forest import (
    Effect,
    above_controls,
    decimals,
    frame,
    heights,
    ordered,
)
from promptpriors.figures.styles import PLAIN, ArmStyle, verdict_label
from promptpriors.files import write_bytes, write_json
from promptpriors.runs.study_results import Contrast

GREY, SOFT, DIM = "#80838a", "#e9eaed", "#555555"
WIDTH, ROW = 8.0, 0.34
"""Inches: of a figure, and the height of a row."""
SYMBOLS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "hexagon": "h",
    "triangle-down": "v", "star": "*",
}  # fmt: skip
DASHES: Mapping[str, Any] = {
    "solid": "-", "dot": ":", "dash": "--", "dashdot": "-.", "longdash": (0, (9, 3)),
}  # fmt: skip
"""Markers and lines of ``figures.styles`` by matplotlib's names."""


def forest(
    contrasts: Iterable[Contrast],
    *,
    reference: str,
    margin: float | None,
    axis: str,
    styles: Mapping[str, ArmStyle] | None = None,
) -> Any:
    """Draw a row an arm: names at the left, numbers and verdicts at the right.

    Args:
        contrasts: at least one with a difference.
        reference: the arm at 0.
        margin: within which arms count as equal, in the same units.
        axis: what is measured, in which unit.
        styles: how each arm is drawn; grey where it is not said.
    """
    rows = ordered(contrasts)
    places = heights(rows)
    low, high = frame(rows, margin)
    figure, axes = _empty(ROW * (1.5 - places[-1]) + 1.0)
    axes.set(xlim=(low, high), ylim=(places[-1] - 0.7, 0.7), yticks=places)
    axes.set_yticklabels([_name(effect.name) for effect in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if margin is not None:
        axes.axvspan(-margin, margin, color=SOFT, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.annotate(_name(reference), (0, 1), (0, 3), xycoords=("data", "axes fraction"),
                  textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    digits = decimals(rows)
    for effect, height in zip(rows, places, strict=True):
        _interval(axes, effect, height, (low, high), (styles or {}).get(effect.name, PLAIN))
        text = f"{effect.text(digits)}   {verdict_label(effect.verdict)}"
        axes.annotate(text, (1, height), (6, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    first = above_controls(rows)
    if first is not None:
        axes.axhline(first, color=SOFT, linewidth=1)
        axes.annotate("controls", (0, first), (-7, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", ha="right", fontsize=8,
                      style="italic", color=DIM)  # fmt: skip
    axes.set_xlabel(f"{axis}, less that of {_name(reference)}", fontsize=9)
    return figure


def bands(
    curves: Sequence[MeanCurve],
    levels: Sequence[Level] = (),
    *,
    styles: Mapping[str, ArmStyle] | None = None,
    axis: str = "validation loss, nats per target token",
) -> Any:
    """Draw each curve on its band, and the levels across, as in ``figures.bands``.

    Args:
        curves: those to draw, each arm at one rate, which is named where rates differ.
        levels: losses of what is not trained, or trained otherwise.
        styles: how each arm is drawn; grey where it is not said.
        axis: what is measured, in which unit.
    """
    figure, axes = _empty(4.5)
    told = len({found.rate for found in curves}) > 1
    for found in curves:
        colour, symbol, dash = (styles or {}).get(found.arm, PLAIN)
        label = ", ".join(filter(None, (_name(found.arm), found.rate * told)))
        if found.low:
            axes.fill_between(found.steps, found.low, found.high, color=colour,
                              alpha=opacity(curves), lw=0)  # fmt: skip
        axes.plot(
            found.steps, found.mean, color=colour, linestyle=DASHES[dash], label=label,
            linewidth=1.6, markersize=4, markevery=max(1, len(found.steps) // 8),
            **_symbol(symbol),
        )  # fmt: skip
    for level in levels:
        axes.axhline(level.value, color=GREY, linewidth=1, linestyle="--")
        above = level.role == "floor"
        axes.annotate(
            f"{_name(level.name, 36)} {level.value:.3f}",
            (1, level.value), (-2, 3 if above else -3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="bottom" if above else "top",
            fontsize=7, color=DIM,
        )  # fmt: skip
    axes.set_xlabel("training step", fontsize=9)
    axes.set_ylabel(axis, fontsize=9)
    axes.set_xlim(left=0)
    low, high = reach(curves, levels)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(low, bottom), min(high, top))
    if curves:
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def save(figure: Any, numbers: Mapping[str, Any], path: Path) -> list[Path]:
    """Write a figure as PNG and its numbers as JSON beside it, each whole or not at all.

    Args:
        figure: as drawn above.
        numbers: what it shows.
        path: of the files, without an ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    found = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "json")]
    write_bytes(found[0], buffer.getvalue())
    write_json(found[1], numbers)
    return found


def _name(text: str, most: int = 30) -> str:
    """A name that is not taken for mathematics."""
    return clipped(text, most).replace("$", r"\$")


def _empty(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=130)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _symbol(symbol: str) -> dict[str, Any]:
    hollow = {"markerfacecolor": "white"} if symbol.endswith("-open") else {}
    return {"marker": SYMBOLS.get(symbol.removesuffix("-open"), "o"), **hollow}


def _interval(
    axes: Any, effect: Effect, height: float, within: tuple[float, float], style: ArmStyle
) -> None:
    """The difference as a mark on its interval; an arrow at the edge where it is outside."""
    low, high = within
    look = {"color": style.colour, "linestyle": "none", "markersize": 6, "clip_on": False}
    if not low <= effect.difference <= high:
        edge, arrow = (high, ">") if effect.difference > high else (low, "<")
        axes.plot([edge], [height], marker=arrow, **look)
        return
    axes.plot([effect.low, effect.high], [height, height], color=style.colour, linewidth=1.8)
    axes.plot([effect.difference], [height], **look, **_symbol(style.symbol))
