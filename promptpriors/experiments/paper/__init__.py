"""The paper's figures: from one config to stores, runs, and what each figure shows."""

from promptpriors.experiments.paper.gather import FIGURES, produce
from promptpriors.experiments.paper.plan import FigurePlan, read_plan

__all__ = ["FIGURES", "FigurePlan", "produce", "read_plan"]
