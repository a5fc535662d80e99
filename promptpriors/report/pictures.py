"""Stored figures with their images and numbers."""

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
from promptpriors.report.formatting import MISSING

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
    """Figure with its image as the page shows it.

    Attributes:
        figure: what is written beside it.
        image: the PNG as a data address, empty where it can't be shown.
        size: its width and height in pixels.
        numbers: the figure's numbers, path and value.
        problem: why there is no image.
    """

    figure: Figure
    image: str
    size: tuple[int, int]
    numbers: list[tuple[str, str]]
    problem: str = ""


def pictures(folder: Path) -> tuple[dict[int, Picture], dict[int, str]]:
    """Read figures by number, and the reasons for those that are lost."""
    found: dict[int, Picture] = {}
    lost: dict[int, str] = {}
    room = ROOM
    names = {path.stem for kind in ("json", "png") for path in folder.glob(f"fig??.{kind}")}
    for name in sorted(name for name in names if re.fullmatch(r"fig\d\d", name)):
        path = folder / f"{name}.json"
        try:
            figure = validate(Figure, read_json(path), str(path), brief=True)
        except InputError as error:
            lost[int(name[3:])] = f"Figure {int(name[3:])} can’t be shown: {error}"
            continue
        picture, size = _picture(figure, path.with_suffix(".png"), room)
        found[int(name[3:])] = picture
        room -= size
    return found, lost


def _picture(figure: Figure, path: Path, room: int) -> tuple[Picture, int]:
    """The figure with its image, and the image's bytes."""
    numbers = list(flat(figure.numbers))
    try:
        image = path.read_bytes()
    except OSError as error:
        return Picture(figure, "", (0, 0), numbers, f"{path}: {error.strerror}"), 0
    if not image.startswith(PNG) or not image.endswith(END):
        return Picture(figure, "", (0, 0), numbers, f"{path} is damaged or not a PNG"), 0
    if len(image) > room:
        return Picture(figure, "", (0, 0), numbers, f"{path} is too large for this page"), 0
    width, height = (int.from_bytes(image[i : i + 4], "big") for i in (16, 20))
    address = "data:image/png;base64," + base64.b64encode(image).decode()
    return Picture(figure, address, (width, height), numbers), len(image)


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
        yield path, ", ".join(map(_said, value[:MAX_LISTED])) + more
    else:
        yield path, _said(value)


def _said(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:.6g}" if isinstance(value, float) else str(value)
