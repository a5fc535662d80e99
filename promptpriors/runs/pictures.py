"""Pictures: what a figure shows, stored with the numbers behind it; drawing adds nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_tensors, write_json, write_tensors
from promptpriors.paths import check_output

PICTURES = "figures"
"""The folder of pictures below a runs folder."""
WORDS = ("title", "caption", "numbers", "command")
"""Fields of a picture for people."""
SETTINGS = ("columns", "one_map", "source")

Kind = Literal["cloud", "marks", "ways"]


class Layer(NamedTuple):
    """Points on a panel.

    Attributes:
        kind: ``cloud`` (many, faint), ``marks`` (few, strong) or ``ways`` (joined lines, with a row
            of NaN after each).
        role: decides their colour, the same in every figure: ``data``, ``second``, ``third``,
            ``sampled``, ``trained``, ``other``, ``question``, ``answer``, ``centre``.
        points: on the panel's map.
    """

    kind: Kind
    name: str
    role: str
    points: Float[Tensor, "n 2"]


class Panel(NamedTuple):
    """One map: its title, what its axes are, and what lies on it, lowest first."""

    title: str
    axes: tuple[str, str]
    layers: list[Layer]


@dataclass(frozen=True)
class Picture:
    """A figure's contents.

    Attributes:
        number: the figure's, as in the paper.
        caption: what is seen, and what it does not say.
        panels: in reading order.
        numbers: what the figure is used to say, as figures with nulls, intervals and p-values.
        columns: panels beside each other.
        one_map: whether the panels show one map, and so one part of it.
        source: what it was gathered from, so that a later start knows whether it is still good.
    """

    number: int
    title: str
    caption: str
    panels: list[Panel]
    numbers: dict[str, Any]
    command: str = ""
    columns: int = 3
    one_map: bool = False
    source: str = ""


def stem(number: int) -> str:
    """Name the files of a figure."""
    return f"fig{number:02d}"


def write_picture(folder: Path, picture: Picture) -> None:
    """Store a picture: its points, and beside them the numbers for a reader."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors, panels = {}, []
    for i, panel in enumerate(picture.panels):
        tensors |= {f"{i}/{j}": layer.points.float() for j, layer in enumerate(panel.layers)}
        panels.append(panel._asdict() | {"layers": [layer[:3] for layer in panel.layers]})
    metadata = _fields(picture, *WORDS, *SETTINGS) | {"panels": panels}
    write_tensors(folder / f"{stem(picture.number)}.safetensors", tensors, metadata)
    write_numbers(folder, picture)


def write_numbers(folder: Path, picture: Picture) -> None:
    """Write a figure's words and numbers as ``figNN.json``."""
    write_json(folder / f"{stem(picture.number)}.json", _fields(picture, *WORDS))


def check_figure(folder: Path, number: int) -> None:
    """Refuse to draw over files by the name of a figure that are none of ours.

    A figure of ours has its numbers beside it, as ``figNN.json``.

    Raises:
        InputError: naming the file.
    """
    numbers = folder / f"{stem(number)}.json"
    check_output(numbers, f'"figure": {number},'.encode(), "figure's file")
    for kind in ("png", "svg"):
        if (drawn := numbers.with_suffix(f".{kind}")).exists() and not numbers.exists():
            raise InputError(
                f"{drawn} exists and is no figure of ours: {numbers.name} is not beside it\n"
                "Move it away, or give another folder"
            )


def _fields(picture: Picture, *names: str) -> dict[str, Any]:
    return {"figure": picture.number} | {name: getattr(picture, name) for name in names}


def read_picture(folder: Path, number: int) -> Picture:
    """Read a stored picture.

    Raises:
        InputError: if it is missing or damaged; says which command makes it.
    """
    path = folder / f"{stem(number)}.safetensors"
    if not path.exists():
        raise InputError(
            f"figure {number} has no data in {folder}: `promptpriors figures {number} "
            f"--all configs/paper/figures.toml --runs {folder.parent}` makes them"
        )
    tensors, metadata = read_tensors(path)
    try:
        panels = []
        for i, panel in enumerate(metadata["panels"]):
            layers = [
                Layer._make([*words, tensors[f"{i}/{j}"]])
                for j, words in enumerate(panel["layers"])
            ]
            panels.append(Panel(panel["title"], tuple(panel["axes"]), layers))
        rest = {name: metadata[name] for name in (*WORDS, *SETTINGS)}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not the data of a figure: {error}; make it anew") from None
    return Picture(number=number, panels=panels, **rest)
