"""Vocabulary on its first two principal axes, with prompts before and after training."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.projection import project
from promptpriors.figures.canvas import CLOUD, canvas
from promptpriors.figures.strings import escape, visible
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.figures.vectors import tokens_of
from promptpriors.runs import Map, Run
from promptpriors.runs.labels import prior_of

# outlines that set the marks off from the cloud
RING = {"initial": {"width": 1.6}, "final": {"width": 1, "color": "white"}}

Path2 = Float[Tensor, "moments length 2"]


class Marks(NamedTuple):
    """A run's vectors on the plane, with hover texts."""

    path: Path2
    texts: dict[str, list[str]]


def vocabulary_map(plane: Map, runs: Sequence[Run], style: RunStyles | None = None) -> go.Figure:
    """Draw the vocabulary and each prior's vectors, hollow at the start and filled at the end.

    Args:
        plane: the stored map; prompt vectors at its site are projected into it.
        runs: runs on that model; those that are not done or have no vectors there are left out.
        style: of the page; by default that of ``runs``.
    """
    style = style or run_styles(runs)
    figure = canvas(height=640)
    x, y = plane.coordinates.float().T.numpy()
    figure.add_scattergl(
        x=x,
        y=y,
        text=[escape(visible(label)) for label in plane.labels],
        mode="markers",
        name="vocabulary",
        marker={"color": CLOUD, "size": 3},
        hovertemplate="“%{text}”<extra></extra>",
    )
    done = [run for run in runs if run.result is not None]
    for prior in style.styles:
        marks = [_marks(run, plane, style) for run in done if prior_of(run) == prior]
        figure.add_traces(_prior(prior, [m for m in marks if m is not None], style))
    share = [f"{100 * float(value):.1f} % of the variance" for value in plane.explained]
    figure.update_xaxes(title_text=f"first principal direction, {share[0]}")
    figure.update_yaxes(title_text=f"second, {share[1]}", scaleanchor="x")
    return figure


def _marks(run: Run, plane: Map, style: RunStyles) -> Marks | None:
    """The run's vectors at the map's site, or None if it has none there."""
    tensors = run.tensors()
    keys = [f"{moment}/{plane.site}" for moment in ("initial", "trajectory", "final")]
    if keys[0] not in tensors:
        return None
    stored = [tensors[key].float() for key in keys if key in tensors]
    path = torch.cat([t.reshape(-1, *t.shape[-2:]) for t in stored])
    flat = project(path.flatten(0, 1), plane.mean, plane.components)
    texts = {when: _texts(run, plane.site, when, path.shape[1], style) for when in RING}
    return Marks(flat.reshape(*path.shape[:2], 2), texts)


def _texts(run: Run, site: str, moment: str, length: int, style: RunStyles) -> list[str]:
    near = tokens_of(run, site).get(moment) or [[]] * length
    texts = []
    for i, best in enumerate(near):
        text = f"{escape(style.names[run.id])}<br>vector {i}, {moment}"
        if best:
            token = escape(visible(best[0]["token"]))
            text += f"<br>nearest “{token}”, cosine {best[0]['cosine']:.3f}"
        texts.append(text)
    return texts


def _prior(prior: str, marks: list[Marks], style: RunStyles) -> list[go.Scattergl]:
    """Three traces for all runs of a prior: the paths, the starts, the ends."""
    if not marks:
        return []
    colour, symbol = style.styles[prior]
    common = {"name": escape(prior), "legendgroup": prior}
    paths = [torch.cat([m.path, torch.full_like(m.path[:1], torch.nan)]) for m in marks]  # a gap
    lines = torch.cat([path.transpose(0, 1).flatten(0, 1) for path in paths])
    traces = [
        go.Scattergl(
            x=lines[:, 0].numpy(), y=lines[:, 1].numpy(), mode="lines", hoverinfo="skip",
            opacity=0.7, line={"color": colour, "width": 1.4}, showlegend=False, **common,
        )
    ]  # fmt: skip
    for moment, index, suffix in (("initial", 0, "-open"), ("final", -1, "")):
        points = torch.cat([m.path[index] for m in marks])
        trace = go.Scattergl(
            x=points[:, 0].numpy(),
            y=points[:, 1].numpy(),
            text=[text for m in marks for text in m.texts[moment]],
            mode="markers",
            marker={"color": colour, "symbol": symbol + suffix, "size": 9, "line": RING[moment]},
            hovertemplate="%{text}<extra></extra>",
            showlegend=moment == "final",
            **common,
        )
        traces.append(trace)
    return traces
