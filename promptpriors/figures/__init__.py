"""One function per figure: stored results in, plotly Figure out; nothing is computed here."""

from promptpriors.figures.displacement import displacement
from promptpriors.figures.look import Look, look, prior_of, setting_of
from promptpriors.figures.loss import validation_loss
from promptpriors.figures.map import vocabulary_map
from promptpriors.figures.nearest import nearest
from promptpriors.figures.text import escape, visible

__all__ = [
    "Look",
    "displacement",
    "escape",
    "look",
    "nearest",
    "prior_of",
    "setting_of",
    "validation_loss",
    "visible",
    "vocabulary_map",
]
