"""Every claim of a plan judged by the studies of a folder; kept where the page finds it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptpriors.analysis.reach import MIN_REACH_RATIO
from promptpriors.errors import InputError
from promptpriors.files import write_json
from promptpriors.paper.analysis import Analysis, ClaimPlan
from promptpriors.paper.study_rules import RULES, Finding, level
from promptpriors.runs.tables import Table, tabulate
from promptpriors.verdicts.outcomes import Setting, lacks, mostly_missing, read_settings

NOTE = (
    "A row a claim of the paper, with the one statistic that was fixed for it before the runs. An "
    "interval that holds the bound decides nothing; without both controls equality is undecided."
)


def judge_claims(analysis: Analysis, runs: Path) -> list[dict[str, Any]]:
    """Each claim with its statistic, interval, verdict and evidence, as ``claims.json`` has them.

    Raises:
        InputError: for a damaged record of a study, or a value that there is not.
    """
    settings = read_settings(runs)
    return [_record(planned, _find(planned, settings)) for planned in analysis]


def write_claims(claims: Sequence[dict[str, Any]], runs: Path) -> Path:
    """Write ``claims.json``, which the page reads."""
    path = runs / "claims.json"
    write_json(path, {"claims": list(claims)})
    return path


def claims_table(claims: Sequence[dict[str, Any]]) -> Table:
    """The claims as a table."""
    rows = [
        {
            "claim": found["claim"],
            "text": found["text"],
            "statistic": found["statistic"],
            "value": found["value"],
            "low": found["interval"][0] if found["interval"] else None,
            "high": found["interval"][1] if found["interval"] else None,
            "p": found["p"],
            "verdict": found["verdict"],
            "evidence": found["evidence"],
        }
        for found in claims
    ]
    return tabulate("claims", "The paper's claims", NOTE, rows)


def _find(planned: ClaimPlan, settings: Sequence[Setting]) -> Finding:
    mine = [
        setting
        for setting in settings
        if setting.study == planned.study and planned.setting in {None, setting.name}
    ]
    if not mine:
        return _open(f"no study {planned.study!r} with this setting in the folder")
    if len(mine) > 1:
        names = ", ".join(repr(setting.name) for setting in mine)
        raise InputError(
            f"claim {planned.claim}: study {planned.study!r} has the settings {names}; name one"
        )
    arms = planned.arms or list(mine[0].by_arm("arm"))
    lacking = [
        f"of {arm} {lacks(found)}"
        for arm, found in mine[0].by_arm("arm").items()
        if arm in arms and mostly_missing(found)
    ]
    if lacking:
        return Finding(None, None, None, "undecided", lacking[0])
    try:
        if planned.reach:
            _check_reach(mine[0], arms)
        return RULES[planned.rule.name](mine[0], arms, **planned.rule.params)
    except InputError as error:
        return _open(str(error).splitlines()[0])


def _check_reach(setting: Setting, arms: Sequence[str]) -> None:
    """Refuse a statement about where prompts end that training could not have brought there.

    Raises:
        InputError: for a mean reach ratio below ``MIN_REACH_RATIO``.
    """
    found = level(setting, arms, value="position:reach ratio", at_least=MIN_REACH_RATIO).value
    if found is None or found < MIN_REACH_RATIO:
        raise InputError(f"the reach ratio is {found:.2g}, less than {MIN_REACH_RATIO:g}")


def _open(why: str) -> Finding:
    return Finding(None, None, None, "not testable", why)


def _record(planned: ClaimPlan, found: Finding) -> dict[str, Any]:
    evidence = found.evidence
    if found.verdict in {"undecided", "not testable"}:
        evidence += f". What would decide it: {planned.decides}"
    return {
        "claim": planned.claim,
        "text": planned.text,
        "figures": [],
        "statistic": planned.statistic,
        "value": found.value,
        "interval": None if found.interval is None else list(found.interval),
        "p": found.p,
        "verdict": found.verdict,
        "evidence": evidence,
    }
