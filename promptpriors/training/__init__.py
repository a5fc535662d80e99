"""Training as a generator of records, and evaluation."""

from promptpriors.training.evaluation import Quality, evaluate, quality
from promptpriors.training.loop import Diverged, Progress, Record, train
from promptpriors.training.rates import Relative, factor, rates

__all__ = [
    "Diverged",
    "Progress",
    "Quality",
    "Record",
    "Relative",
    "evaluate",
    "factor",
    "quality",
    "rates",
    "train",
]
