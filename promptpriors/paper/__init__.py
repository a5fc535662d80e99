"""The paper's figures 1 to 13, and verdicts on its claims."""

from promptpriors.paper.analysis import Analysis, read_analysis
from promptpriors.paper.claims import claims_table, judge_claims, write_claims
from promptpriors.paper.figure_plan import FigurePlan, read_plan
from promptpriors.paper.figures import FIGURES, produce

__all__ = [
    "FIGURES",
    "Analysis",
    "FigurePlan",
    "claims_table",
    "judge_claims",
    "produce",
    "read_analysis",
    "read_plan",
    "write_claims",
]
