"""One self-contained, interactive page about the runs of a folder."""

from promptpriors.report.page import build, write_report

__all__ = ["build", "write_report"]
