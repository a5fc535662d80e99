"""A study on the page: verdicts first, then differences with intervals, then curves with bands."""

from promptpriors.report.study.panels import Studies, studies

__all__ = ["Studies", "studies"]
