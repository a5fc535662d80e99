"""Comparison of runs: prior against posterior, and prior against prior."""

from promptpriors.compare.compare import compare
from promptpriors.runs.tables import Table, write_tables

__all__ = ["Table", "compare", "write_tables"]
