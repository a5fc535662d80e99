"""Studies: many runs from one file, resumed, on one machine or many."""

from promptpriors.config.study import StudyFile, read_study
from promptpriors.study.forecast import Forecast, forecast
from promptpriors.study.launch import ExecutionPlan, carry_out, prepare_study, to_do
from promptpriors.study.local import Attempt, workspace_of
from promptpriors.study.plan import Entry, plan
from promptpriors.study.status import Surveyed, sentence, survey

__all__ = [
    "Attempt",
    "Entry",
    "ExecutionPlan",
    "Forecast",
    "StudyFile",
    "Surveyed",
    "carry_out",
    "forecast",
    "plan",
    "prepare_study",
    "read_study",
    "sentence",
    "survey",
    "to_do",
    "workspace_of",
]
