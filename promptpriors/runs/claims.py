"""Verdicts on claims, by studies and by figures: ``claims.json`` in a runs folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

from promptpriors.errors import InputError
from promptpriors.files import read_json, write_json
from promptpriors.registry import Field, validate

FILE = "claims.json"
VERSION = 2
"""Version of the file. Version 1, which states none, has one kind of evidence for each claim."""
Verdict = Literal["confirmed", "refuted", "undecided", "not testable"]
Kind = Literal["study", "figure"]


class _Stored(BaseModel):
    """Base of stored types: unknown keys are left out, and known ones are checked."""

    model_config = ConfigDict(strict=True, frozen=True)


class Evidence(_Stored):
    """Statistic of a claim in words (or none), its 95 % interval, the verdict by it, and why."""

    statistic: str
    value: float | None
    interval: Annotated[tuple[float | None, float | None] | None, Field(strict=False)]
    p: float | None
    verdict: Verdict
    evidence: str


class Claim(_Stored):
    """A numbered claim of the paper, with the evidence of a study and of figures on it."""

    claim: int
    text: str
    section: str = ""
    figures: list[int] = []
    study: Evidence | None = None
    figure: Evidence | None = None

    @model_validator(mode="after")
    def _judged(self) -> "Claim":
        if self.study is None and self.figure is None:
            raise ValueError("a claim needs the evidence of a study or a figure")
        return self

    @property
    def evidence(self) -> dict[Kind, Evidence]:
        """Evidence by kind, that whose verdict counts first.

        A study's counts, unless it can't test the claim and a figure decides it.
        """
        found: dict[Kind, Evidence] = {"study": self.study} if self.study else {}
        found |= {"figure": self.figure} if self.figure else {}
        verdicts = [one.verdict for one in found.values()]
        if verdicts in (["not testable", "confirmed"], ["not testable", "refuted"]):
            return dict(reversed(found.items()))
        return found

    @computed_field
    @property
    def verdict(self) -> Verdict:
        """The verdict that counts."""
        return next(iter(self.evidence.values())).verdict


def write_claims(folder: Path, claims: Sequence[Claim]) -> None:
    """Merge claims into ``claims.json``; evidence of the other kind is kept.

    Raises:
        InputError: if the file that is there is damaged.
    """
    known: dict[int, Claim] = {}
    for claim in read_claims(folder):
        if isinstance(claim, InputError):
            raise InputError(f"{claim}\nMove {folder / FILE} away and start the command again")
        known[claim.claim] = claim
    for claim in claims:
        before = known.get(claim.claim, claim)
        kept = {"study": claim.study or before.study, "figure": claim.figure or before.figure}
        known[claim.claim] = claim.model_copy(update=kept)
    rows = [known[number].model_dump() for number in sorted(known)]
    write_json(folder / FILE, {"version": VERSION, "claims": rows})


def read_claims(folder: Path) -> list[Claim | InputError]:
    """Read ``claims.json``; a damaged entry is its error.

    Raises:
        InputError: if the file has no list of claims, or a later version wrote it.
    """
    path = folder / FILE
    if not path.exists():
        return []
    rows = read_list(path, "claims")
    version = read_json(path).get("version", 1)
    if version not in {1, VERSION}:
        raise InputError(
            f"{path} is of version {version!r}, expected {VERSION}: update promptpriors"
        )
    found: list[Claim | InputError] = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, entry {number}"
        try:
            if not isinstance(row, dict):
                raise InputError(f"{where} is not a claim")
            found.append(validate(Claim, _version_1(row) if version == 1 else row, where))
        except InputError as error:
            found.append(error)
    return found


def read_list(path: Path, key: str) -> list[Any]:
    """Read the list under a key of a JSON file.

    Raises:
        InputError: if the file is not JSON, or there is no such list in it.
    """
    value = read_json(path)
    rows = value.get(key) if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{path} has no list {key!r}")
    return rows


def _version_1(row: dict[str, Any]) -> dict[str, Any]:
    """A row of version 1: only a study's evidence had a statistic and no figures."""
    kind = "study" if row.get("statistic") and not row.get("figures") else "figure"
    evidence = {name: row[name] for name in Evidence.model_fields if name in row}
    rest = {name: row[name] for name in ("claim", "text", "figures") if name in row}
    return {**rest, kind: evidence}
