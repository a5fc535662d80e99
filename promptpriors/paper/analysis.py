"""Verdicts of studies on the paper's claims, as an analysis plans them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from promptpriors.analysis.location import MIN_REACH_RATIO
from promptpriors.errors import InputError
from promptpriors.files import read_toml
from promptpriors.paper.claims import claim_with, judged, paper_claim
from promptpriors.paper.study_rules import RULES, level
from promptpriors.registry import Choice, Field, Strict, choose, validate
from promptpriors.runs.claims import Claim, Evidence
from promptpriors.runs.tables import Table, tabulate
from promptpriors.verdicts.outcomes import Setting, lacks, mostly_missing, read_settings

NOTE = (
    "A row a claim of the paper, with the one statistic that was fixed for it before the runs. An "
    "interval that holds the bound decides nothing; without both controls equality is undecided."
)


def _rule(config: Any) -> Choice:
    return choose("rule", RULES, config, supplied=())


class ClaimPlan(Strict):
    """Plan of a study's verdict on one claim.

    Attributes:
        claim: its number in the paper's list.
        setting: of the study; None where it has one.
        arms: that count; None for all.
        reach: whether nothing is said where training could not have moved vectors far enough.
        statistic: what decides, in words.
        decides: what would decide it where it stays open.
        rule: a row of ``RULES`` with its parameters.
    """

    claim: int
    study: str
    setting: str | None = None
    arms: list[str] | None = None
    reach: bool = False
    statistic: str
    decides: str
    rule: Annotated[Choice, BeforeValidator(_rule)]


class _File(Strict):
    claims: Annotated[list[ClaimPlan], Field(min_length=1)]


Analysis = list[ClaimPlan]


def read_analysis(path: Path) -> Analysis:
    """Read and check the plan of an analysis.

    Raises:
        InputError: for a malformed file, an unknown rule or claim, or a claim that is there twice.
    """
    name = f"analysis {path.name}"
    found = validate(_File, read_toml(path), name).claims
    numbers = [planned.claim for planned in found]
    for number in numbers:
        paper_claim(number)
        if numbers.count(number) > 1:
            raise InputError(f"{name} judges claim {number} twice: one statistic each")
    return found


def judge_claims(analysis: Analysis, runs: Path) -> list[Claim]:
    """Judge each claim of an analysis by the studies of a runs folder.

    Raises:
        InputError: for a damaged record of a study, or a value that there is not.
    """
    settings = read_settings(runs)
    return [claim_with(planned.claim, study=_evidence(planned, settings)) for planned in analysis]


def claims_table(claims: Sequence[Claim]) -> Table:
    """Tabulate the evidence of studies on claims."""
    rows = [
        {
            "claim": claim.claim,
            "text": claim.text,
            "statistic": found.statistic,
            "value": found.value,
            "low": found.interval and found.interval[0],
            "high": found.interval and found.interval[1],
            "p": found.p,
            "verdict": found.verdict,
            "evidence": found.evidence,
        }
        for claim in claims
        if (found := claim.study) is not None
    ]
    return tabulate("claims", "The paper's claims", NOTE, rows)


def _evidence(planned: ClaimPlan, settings: Sequence[Setting]) -> Evidence:
    found = _judge(planned, settings)
    reason = found.evidence
    if found.verdict in {"undecided", "not testable"}:
        reason += f". What would decide it: {planned.decides}"
    return found.model_copy(update={"statistic": planned.statistic, "evidence": reason})


def _judge(planned: ClaimPlan, settings: Sequence[Setting]) -> Evidence:
    mine = [s for s in settings if s.study == planned.study and planned.setting in {None, s.name}]
    if len(mine) > 1:
        names = ", ".join(repr(setting.name) for setting in mine)
        where = f"claim {planned.claim}: study {planned.study!r}"
        raise InputError(f"{where} has the settings {names}; name one")
    try:
        if not mine:
            raise InputError(f"no study {planned.study!r} with this setting in the folder")
        arms = planned.arms or list(mine[0].by_arm("arm"))
        for arm, runs in mine[0].by_arm("arm").items():
            if arm in arms and mostly_missing(runs):
                return judged("undecided", f"of {arm} {lacks(runs)}")
        if planned.reach:  # nothing is said of an end that training could not have reached
            address, least = "position.reach_ratio", MIN_REACH_RATIO
            found = level(mine[0], arms, value=address, at_least=least).value
            if found is None or found < least:
                raise InputError(f"the reach ratio is {found:.2g}, less than {least:g}")
        return RULES[planned.rule.name](mine[0], arms, **planned.rule.params)
    except InputError as error:
        return judged("not testable", str(error).splitlines()[0])
