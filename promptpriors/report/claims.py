"""Claims with their evidence and figures, as the page shows them."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from promptpriors.errors import InputError
from promptpriors.files import read_json
from promptpriors.registry import validate
from promptpriors.report.formatting import MISSING, significant
from promptpriors.runs.claims import Claim, Evidence, read_claims

PNG, END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
ROOM = 5_000_000
"""Bytes of all images together, as they lie on the disk."""
MAX_LISTED = 40
"""Values of one list that are written out."""


class Figure(BaseModel):
    """Text beside a stored figure, ``figures/figNN.json``."""

    figure: int
    title: str
    caption: str
    numbers: dict[str, Any]
    command: str


@dataclass(frozen=True)
class Picture:
    """Figure with its PNG as the page shows it.

    Attributes:
        image: as a data address, empty where it can't be shown.
        size: width and height in pixels.
        numbers: the figure's numbers, path and value.
        problem: why there is no image.
    """

    figure: Figure
    image: str
    size: tuple[int, int]
    numbers: list[tuple[str, str]]
    problem: str


@dataclass(frozen=True)
class ClaimPanel:
    """A claim on the page; None where it is damaged.

    ``before`` are numbers of figures that an earlier claim shows.
    """

    claim: Claim | None
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
    known, lost = _pictures(folder / "figures")
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
            panels.append(ClaimPanel(None, [], [], [f"This claim can’t be shown: {line}"]))
            continue
        wanted = list(dict.fromkeys(claim.figures))
        missing = [lost.pop(n, f"Figure {n} is not stored.") for n in wanted if n not in known]
        mine = [n for n in wanted if n in known and n not in shown]
        before = [n for n in wanted if n in shown]
        panels.append(ClaimPanel(claim, [known[n] for n in mine], before, missing))
        shown |= set(mine)
    others = [known[n] for n in sorted(known) if n not in shown]
    problems += [lost[n] for n in sorted(lost)]
    return Claims(panels, others, problems) if panels or others or problems else None


def numbers_of(evidence: Evidence) -> list[tuple[str, str]]:
    """Write statistic, value, interval and p as far as they are known: name and text."""
    low, high = evidence.interval or (None, None)
    p = "< 0.001" if evidence.p is not None and evidence.p < 0.001 else significant(evidence.p)
    rows = [("statistic", evidence.statistic or None, evidence.statistic),
            ("value", evidence.value, significant(evidence.value)),
            ("interval", low, f"{significant(low)} to {significant(high)}"),
            ("p", evidence.p, p)]  # fmt: skip
    return [(name, text) for name, value, text in rows if value is not None]


def _pictures(folder: Path) -> tuple[dict[int, Picture], dict[int, str]]:
    """Figures by number, and the reasons for those that are lost."""
    found: dict[int, Picture] = {}
    lost: dict[int, str] = {}
    room = ROOM
    names = {path.stem for kind in ("json", "png") for path in folder.glob(f"fig??.{kind}")}
    for name in sorted(name for name in names if re.fullmatch(r"fig\d\d", name)):
        number, path = int(name[3:]), folder / f"{name}.json"
        try:
            figure = validate(Figure, read_json(path), str(path), brief=True)
        except InputError as error:
            lost[number] = f"Figure {number} can’t be shown: {error}"
            continue
        numbers = list(flat(figure.numbers))
        try:
            image = _image(path.with_suffix(".png"), room)
        except InputError as error:
            found[number] = Picture(figure, "", (0, 0), numbers, str(error))
            continue
        width, height = (int.from_bytes(image[i : i + 4], "big") for i in (16, 20))
        address = "data:image/png;base64," + base64.b64encode(image).decode()
        found[number] = Picture(figure, address, (width, height), numbers, "")
        room -= len(image)
    return found, lost


def _image(path: Path, room: int) -> bytes:
    try:
        image = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not image.startswith(PNG) or not image.endswith(END):
        raise InputError(f"{path} is damaged or not a PNG")
    if len(image) > room:
        raise InputError(f"{path} is too large for this page")
    return image


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested numbers as lines of path and value.

    >>> list(flat({"pca": {"dip": 0.25, "p": None}, "n": [1, 2]}))
    [('pca / dip', '0.25'), ('pca / p', '–'), ('n', '1, 2')]
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{path} / {key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        for i, inner in enumerate(value[:MAX_LISTED]):
            yield from flat(inner, f"{path} / {i}")
        if len(value) > MAX_LISTED:
            yield path, f"… and {len(value) - MAX_LISTED:,} more"
    elif isinstance(value, list):
        more = f", … ({len(value):,} values)" if len(value) > MAX_LISTED else ""
        yield path, ", ".join(map(_value, value[:MAX_LISTED])) + more
    else:
        yield path, _value(value)


def _value(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:.6g}" if isinstance(value, float) else str(value)
