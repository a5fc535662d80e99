"""Plotly and matplotlib figures drawn from stored results."""

from promptpriors.figures.loss import validation_loss
from promptpriors.figures.map import vocabulary_map
from promptpriors.figures.strings import escape, visible
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.figures.vectors import displacement, nearest
from promptpriors.runs.labels import prior_of, setting_of

__all__ = [
    "RunStyles",
    "displacement",
    "escape",
    "nearest",
    "prior_of",
    "run_styles",
    "setting_of",
    "validation_loss",
    "visible",
    "vocabulary_map",
]
