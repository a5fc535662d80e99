"""Empty figures with shared axes and margins."""

import plotly.graph_objects as go

NEUTRAL = "#80838a"  # a grey that is legible on white and on black
CLOUD = "rgba(128, 133, 145, 0.2)"  # the same grey, for fifty thousand points
AXIS = {"automargin": True, "zeroline": False, "title": {"font": {"size": 13}}}


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
