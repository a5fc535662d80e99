"""Validation loss against training steps, one line a run."""

from collections.abc import Sequence

import plotly.graph_objects as go

from promptpriors.figures.canvas import NEUTRAL, canvas
from promptpriors.figures.strings import escape
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.runs import Run
from promptpriors.runs.labels import BASELINE, prior_of


def validation_loss(runs: Sequence[Run], style: RunStyles | None = None) -> go.Figure:
    """Draw validation losses of finished runs, and the loss without a prompt.

    Args:
        runs: runs of one model on one task; those that are not done are left out.
        style: of the page; by default that of ``runs``.
    """
    style = style or run_styles(runs)
    figure = canvas(height=420)
    done = [run for run in runs if run.result is not None]
    for run in done:
        if prior_of(run) == BASELINE:
            continue
        colour, symbol = style.style(run)
        points = evaluations(run)
        figure.add_scatter(
            x=list(points),
            y=list(points.values()),
            mode="lines+markers",
            name=escape(style.names[run.id]),
            legendgroup=prior_of(run),
            line={"color": colour, "width": 2, "dash": style.dashes[run.id]},
            marker={"symbol": symbol, "size": 7},
            cliponaxis=False,
            hovertemplate="step %{x}: <b>%{y:.4f}</b><extra>%{fullData.name}</extra>",
        )
    for value in baselines(done):
        figure.add_hline(
            y=value,
            line={"dash": "dash", "width": 1.5, "color": NEUTRAL},
            annotation={"text": f"without a prompt {value:.3f}", "font": {"size": 12}},
            annotation_position="top right",
        )
    figure.update_xaxes(title_text="training step", rangemode="tozero", showgrid=False)
    figure.update_yaxes(title_text="validation loss, nats per target token")
    return figure


def baselines(runs: Sequence[Run]) -> list[float]:
    """Losses without a prompt, one for those equal to four decimals."""
    found = [run.result.get("val_loss_none") for run in runs if run.result is not None]
    found += [  # of the model as it came, without an adapter
        run.result["val_loss"]
        for run in runs
        if run.result and prior_of(run) == BASELINE and not run.config["train"].get("lora")
    ]
    return sorted({round(value, 4): value for value in found if value is not None}.values())


def evaluations(run: Run) -> dict[int, float]:
    """Validation loss by step."""
    records = [r for r in run.metrics() if r.get("val_loss") is not None]
    return {record["step"]: record["val_loss"] for record in records}
