"""Runs of a folder compared: prior against posterior, and prior against prior."""

from promptpriors.experiments.compare.folder import compare
from promptpriors.experiments.compare.tables import Table, write_tables

__all__ = ["Table", "compare", "write_tables"]
