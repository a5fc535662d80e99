"""Claims with their evidence and figures, as the page shows them."""

from dataclasses import dataclass
from pathlib import Path

from promptpriors.errors import InputError
from promptpriors.figures.styles import MARKS
from promptpriors.report.formatting import significant
from promptpriors.report.pictures import Picture, pictures
from promptpriors.runs.claims import Claim, Evidence, Kind, read_claims


@dataclass(frozen=True)
class ShownEvidence:
    """Evidence of one kind, with its numbers as text."""

    kind: Kind
    evidence: Evidence

    @property
    def sign(self) -> str:
        """The verdict's sign."""
        return MARKS[self.evidence.verdict].sign

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """Statistic, value, interval and p as far as they are known: name and text."""
        found = self.evidence
        low, high = found.interval or (None, None)
        p = "< 0.001" if found.p is not None and found.p < 0.001 else significant(found.p)
        rows = [("statistic", found.statistic or None, found.statistic),
                ("value", found.value, significant(found.value)),
                ("interval", low, f"{significant(low)} to {significant(high)}"),
                ("p", found.p, p)]  # fmt: skip
        return [(name, text) for name, value, text in rows if value is not None]


@dataclass(frozen=True)
class ClaimPanel:
    """A claim on the page.

    Attributes:
        claim: None where it is damaged.
        evidence: of each kind; the first counts.
        pictures: figures that are shown here.
        before: numbers of figures that an earlier claim shows.
        problems: what is damaged or missing.
    """

    claim: Claim | None
    evidence: list[ShownEvidence]
    pictures: list[Picture]
    before: list[int]
    problems: list[str]


@dataclass(frozen=True)
class Claims:
    """Section of claims: panels, figures that no claim names, and what can't be shown."""

    panels: list[ClaimPanel]
    others: list[Picture]
    problems: list[str]


def claims(folder: Path) -> Claims | None:
    """Read the claims and figures of a runs folder; None where there are none."""
    known, lost = pictures(folder / "figures")
    problems: list[str] = []
    stored: list[Claim | InputError] = []
    try:
        stored = read_claims(folder)
    except InputError as error:
        problems.append(f"The claims can’t be shown: {error}")
    panels: list[ClaimPanel] = []
    shown: set[int] = set()
    for claim in stored:
        if isinstance(claim, InputError):
            line = "; ".join(str(claim).splitlines())
            panels.append(ClaimPanel(None, [], [], [], [f"This claim can’t be shown: {line}"]))
            continue
        wanted = list(dict.fromkeys(claim.figures))
        missing = [lost.pop(n, f"Figure {n} is not stored.") for n in wanted if n not in known]
        mine = [n for n in wanted if n in known and n not in shown]
        before = [n for n in wanted if n in shown]
        evidence = [ShownEvidence(kind, found) for kind, found in claim.evidence.items()]
        panels.append(ClaimPanel(claim, evidence, [known[n] for n in mine], before, missing))
        shown |= set(mine)
    others = [known[n] for n in sorted(known) if n not in shown]
    problems += [lost[n] for n in sorted(lost)]
    return Claims(panels, others, problems) if panels or others or problems else None
