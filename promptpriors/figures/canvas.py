"""Empty figures with shared axes and margins."""

from collections.abc import Sequence

import plotly.graph_objects as go

NEUTRAL = "#80838a"
"""A grey that is legible on white and on black."""

CLOUD = "rgba(128, 133, 145, 0.2)"
"""The same grey, for fifty thousand points."""

AXIS = {"automargin": True, "zeroline": False, "title": {"font": {"size": 13}}}

ROW = 50
"""Height of a row of ``rows``, in pixels."""


def canvas(height: int) -> go.Figure:
    """Figure without plotly's default theme, so that the page chooses font and background."""
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 64, "r": 16, "t": 24, "b": 52},
            "hovermode": "closest",
            "hoverlabel": {"namelength": -1},
            "xaxis": AXIS,
            "yaxis": AXIS,
        }
    )


def rows(names: Sequence[str]) -> go.Figure:
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
