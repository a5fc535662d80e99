"""The paper's claims, each stated once in ``claims.toml``."""

from functools import cache
from pathlib import Path
from typing import Annotated

from promptpriors.errors import InputError
from promptpriors.files import read_toml
from promptpriors.registry import Field, Strict, validate
from promptpriors.runs.claims import Claim, Evidence, Kind, Verdict


class PaperClaim(Strict):
    """A claim of the paper, with the kinds of evidence that can decide it."""

    claim: int
    text: str
    section: str
    evidence: Annotated[list[Kind], Field(min_length=1)]
    figures: list[int]


class _File(Strict):
    claims: list[PaperClaim]


@cache
def paper_claims() -> dict[int, PaperClaim]:
    """Read the paper's claims, by number."""
    path = Path(__file__).with_name("claims.toml")
    found = validate(_File, read_toml(path), path.name)
    return {claim.claim: claim for claim in found.claims}


def paper_claim(number: int) -> PaperClaim:
    """Find a claim of the paper by its number.

    Raises:
        InputError: if the paper has none of this number.
    """
    known = paper_claims()
    if number not in known:
        raise InputError(f"the paper has no claim {number}; expected 1 to {max(known)}")
    return known[number]


def claim_with(
    number: int, *, study: Evidence | None = None, figure: Evidence | None = None
) -> Claim:
    """Put evidence on a claim of the paper."""
    paper = paper_claim(number).model_dump(exclude={"evidence"})
    return Claim(**paper, study=study, figure=figure)


def judged(
    verdict: Verdict,
    reason: str,
    value: float | None = None,
    interval: tuple[float, float] | None = None,
    *,
    p: float | None = None,
    statistic: str = "",
) -> Evidence:
    """Put a verdict and its statistic together as evidence."""
    return Evidence(
        statistic=statistic, value=value, interval=interval, p=p, verdict=verdict, evidence=reason
    )
