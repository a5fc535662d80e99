"""Training as a generator of records, regularisers, and evaluation."""

from promptpriors.training.evaluation import Quality, evaluate, quality
from promptpriors.training.loop import Diverged, Progress, Record, train
from promptpriors.training.rates import Relative, factor, rates
from promptpriors.training.regularisers import REGULARISERS, Regulariser, regularise

__all__ = [
    "REGULARISERS",
    "Diverged",
    "Progress",
    "Quality",
    "Record",
    "Regulariser",
    "Relative",
    "evaluate",
    "factor",
    "quality",
    "rates",
    "regularise",
    "train",
]
