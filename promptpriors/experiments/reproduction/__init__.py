"""The paper's claims judged by studies: one primary statistic each, fixed before the runs."""

from promptpriors.experiments.reproduction.analysis import Analysis, read_analysis
from promptpriors.experiments.reproduction.verdicts import claims_table, judge_claims, write_claims

__all__ = ["Analysis", "claims_table", "judge_claims", "read_analysis", "write_claims"]
