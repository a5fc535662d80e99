"""One self-contained, interactive page about the runs of a folder."""

from promptpriors.report.page import build, check_page, write_report

__all__ = ["build", "check_page", "write_report"]
