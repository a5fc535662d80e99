"""Studies: many runs from one file, resumed, on one machine or many."""

from promptpriors.experiments.study.file import StudyFile, read_study
from promptpriors.experiments.study.forecast import Forecast, forecast
from promptpriors.experiments.study.plan import Entry, plan
from promptpriors.experiments.study.study import Where, begin, carry_out, to_do
from promptpriors.experiments.study.survey import Surveyed, sentence, survey
from promptpriors.experiments.study.worker import Outcome, session_of

__all__ = [
    "Entry",
    "Forecast",
    "Outcome",
    "StudyFile",
    "Surveyed",
    "Where",
    "begin",
    "carry_out",
    "forecast",
    "plan",
    "read_study",
    "sentence",
    "session_of",
    "survey",
    "to_do",
]
