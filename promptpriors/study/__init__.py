"""Studies: many runs from one file, resumed, on one machine or many."""

from promptpriors.config.study import StudyFile, read_study
from promptpriors.study.forecast import Forecast, forecast
from promptpriors.study.launch import Where, begin, carry_out, to_do
from promptpriors.study.local import Outcome, workspace_of
from promptpriors.study.plan import Entry, plan
from promptpriors.study.status import Surveyed, sentence, survey

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
    "survey",
    "to_do",
    "workspace_of",
]
