"""The paper's figures 1 to 13, and verdicts on its claims."""

from promptpriors.paper.analysis import Analysis, claims_table, judge_claims, read_analysis
from promptpriors.paper.claims import PaperClaim, paper_claims
from promptpriors.paper.figure_plan import FigurePlan, read_plan
from promptpriors.paper.figure_rules import judge_figures
from promptpriors.paper.figures import FIGURES, produce

__all__ = [
    "FIGURES",
    "Analysis",
    "FigurePlan",
    "PaperClaim",
    "claims_table",
    "judge_claims",
    "judge_figures",
    "paper_claims",
    "produce",
    "read_analysis",
    "read_plan",
]
