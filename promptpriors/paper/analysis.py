"""The plan of an analysis: for each claim its study, its one statistic, and what decides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from promptpriors.errors import InputError
from promptpriors.files import read_toml
from promptpriors.paper.study_rules import RULES
from promptpriors.registry import Choice, Field, Strict, choose, validate


class _Claim(Strict):
    claim: Annotated[int, Field(ge=1)]
    text: str
    study: str
    setting: str | None = None
    arms: list[str] | None = None
    reach: bool = False
    statistic: str
    decides: str
    rule: dict[str, Any]


class _File(Strict):
    claims: Annotated[list[_Claim], Field(min_length=1)]


@dataclass(frozen=True)
class ClaimPlan:
    """How a claim is judged.

    Attributes:
        claim: its number in the paper's list.
        text: what the paper says.
        study: by its name.
        setting: of the study; None where it has one, or all are meant together.
        arms: that count; None for all.
        reach: whether nothing is said where training could not have moved vectors far enough.
        statistic: what decides, in words.
        decides: what would decide it where it stays open.
        rule: a row of ``RULES`` with its parameters.
    """

    claim: int
    text: str
    study: str
    setting: str | None
    arms: list[str] | None
    reach: bool
    statistic: str
    decides: str
    rule: Choice


Analysis = list[ClaimPlan]


def read_analysis(path: Path) -> Analysis:
    """Read and check a plan.

    Raises:
        InputError: for a malformed file, an unknown rule, or a claim that is there twice.
    """
    found = validate(_File, read_toml(path), f"analysis {path.name}")
    numbers = [claim.claim for claim in found.claims]
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    if twice:
        raise InputError(f"analysis {path.name} judges claim {twice[0]} twice: one statistic each")
    return [
        ClaimPlan(
            **claim.model_dump(exclude={"rule"}),
            rule=choose("rule", RULES, claim.rule, supplied=()),
        )
        for claim in found.claims
    ]
