"""Claims with their verdicts and figures, as stored beside the runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from promptpriors.errors import InputError
from promptpriors.figures.verdict_marks import MARKS
from promptpriors.files import read_json
from promptpriors.registry import validate
from promptpriors.report.formatting import significant
from promptpriors.report.pictures import Picture, pictures


class Claim(BaseModel):
    """A claim and what became of it."""

    claim: int
    text: str
    figures: list[int]
    statistic: str
    value: float | None
    interval: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    p: float | None
    verdict: Literal["confirmed", "refuted", "undecided", "not testable"]
    evidence: str

    @property
    def sign(self) -> str:
        """The verdict's sign."""
        return MARKS[self.verdict].sign

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """Value, interval and p as far as they are known: name and text."""
        low, high = self.interval or (None, None)
        between = f"{significant(low)} to {significant(high)}"
        p = "< 0.001" if self.p is not None and self.p < 0.001 else significant(self.p)
        found = [("value", self.value, significant(self.value)), ("interval", low, between),
                 ("p", self.p, p)]  # fmt: skip
        return [(name, text) for name, value, text in found if value is not None]


@dataclass(frozen=True)
class Panel:
    """A claim with the figures that are shown here, those shown before it, and what is missing."""

    claim: Claim | None
    pictures: list[Picture]
    before: list[int]
    problems: list[str]


@dataclass(frozen=True)
class Claims:
    """The section of claims: panels, figures that no claim names, and what can't be shown."""

    panels: list[Panel]
    others: list[Picture]
    problems: list[str]


def claims(folder: Path) -> Claims | None:
    """The claims and figures of a runs folder, or None where there are none."""
    known, lost = pictures(folder / "figures")
    stored, problems = _stored(folder / "claims.json")
    panels: list[Panel] = []
    shown: set[int] = set()
    for found in stored:
        if isinstance(found, str):
            panels.append(Panel(None, [], [], [found]))
            continue
        wanted = list(dict.fromkeys(found.figures))
        missing = [lost.pop(n, f"Figure {n} is not stored.") for n in wanted if n not in known]
        mine = [n for n in wanted if n in known and n not in shown]
        before = [n for n in wanted if n in shown]
        panels.append(Panel(found, [known[n] for n in mine], before, missing))
        shown |= set(mine)
    others = [known[n] for n in sorted(known) if n not in shown]
    problems += [lost[n] for n in sorted(lost)]
    return Claims(panels, others, problems) if panels or others or problems else None


def _stored(path: Path) -> tuple[list[Claim | str], list[str]]:
    """Claims, each or what is wrong with it; and what is wrong with the file."""
    if not path.exists():
        return [], []
    try:
        rows = listed(path, "claims")
    except InputError as error:
        return [], [f"The claims can’t be shown: {error}"]
    found: list[Claim | str] = []
    for i, row in enumerate(rows, 1):
        try:
            found.append(validate(Claim, row, f"{path}, entry {i}", brief=True))
        except InputError as error:
            found.append(f"This claim can’t be shown: {error}")
    return found, []


def listed(path: Path, key: str) -> list[Any]:
    """The list under ``key`` of a JSON file.

    Raises:
        InputError: if the file is not JSON, or there is no such list in it.
    """
    value = read_json(path)
    rows = value.get(key) if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{path} has no list {key!r}")
    return rows
