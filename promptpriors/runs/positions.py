"""Measured positions of a run's vectors: ``position.json`` in its folder."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from promptpriors.errors import InputError
from promptpriors.registry import Field, validate
from promptpriors.runs.folder import Run
from promptpriors.runs.tables import Cell
from promptpriors.types import Site

FILE = "position.json"
VERSION = 2
"""Version of the file. Version 1 holds the same numbers under the headings of ``HEADINGS``."""


class _Measured(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class NullComparison(_Measured):
    """Distance of a run's vectors to their nearest points, compared with one null.

    Attributes:
        null: mean over the null's draws; of ``moved`` it is the change.
        p: share of the draws that are as near as the run or nearer.
        effect: observed less null.
    """

    null: float | None = Field(title="nearest, {} null")
    p: float | None = Field(title="p, {}")
    effect: float | None = Field(title="effect {}")


def _number(heading: str) -> Any:
    return Field(default=None, title=heading)


class Position(_Measured):
    """Position of a run's vectors at one site; what was not measured is not set.

    The titles are the headings of tables. A null is that of the distance to the nearest point:
    ``moved`` displaces the start at random as far as training did, ``redrawn`` draws the prior
    again, ``normed`` draws the points' Gaussian at the vectors' norms.
    """

    displacement: float | None = _number("displacement")
    norm_start: float | None = _number("norm, start")
    norm_end: float | None = _number("norm, end")
    pair_distance_start: float | None = _number("mean distance of two vectors, start")
    pair_distance_end: float | None = _number("mean distance of two vectors, end")
    kept: float | None = _number("kept of the start")
    between_priors_start: float | None = _number("between the priors, start")
    between_priors_end: float | None = _number("between the priors, end")
    effective_rank_start: float | None = _number("effective rank, start")
    radius_start: float | None = _number("radius in the data over √rank, start")
    nearest_start: float | None = _number("distance to the nearest point, start")
    effective_rank_end: float | None = _number("effective rank, end")
    radius_end: float | None = _number("radius in the data over √rank, end")
    nearest_end: float | None = _number("distance to the nearest point, end")
    reach_ratio: float | None = _number("reach ratio")
    moved: NullComparison | None = None
    redrawn: NullComparison | None = None
    normed: NullComparison | None = None

    def flat(self) -> dict[str, float | None]:
        """Measured numbers by dotted field, such as ``kept`` and ``moved.effect``."""
        values = self.model_dump(exclude_unset=True)
        nulls = {null: values.pop(null) for null in NULLS if null in values}
        inner = {f"{null}.{name}": x for null, found in nulls.items() for name, x in found.items()}
        return values | inner

    def by_heading(self) -> dict[str, Cell]:
        """Measured numbers by the heading of their column; effects have no column."""
        return {HEADINGS[k]: v for k, v in self.flat().items() if not k.endswith(".effect")}


NULLS = ("moved", "redrawn", "normed")
HEADINGS: dict[str, str] = {
    name: str(field.title) for name, field in Position.model_fields.items() if name not in NULLS
} | {
    f"{null}.{name}": str(field.title).format(null)
    for null in NULLS
    for name, field in NullComparison.model_fields.items()
}
Positions = dict[tuple[Site, str], Position]
"""By site and kind of coordinates."""


def write_positions(run: Run, positions: Positions, against: Mapping[Site, str]) -> None:
    """Write ``position.json`` beside a run's result; ``against`` are the points' names by site."""
    rows = [
        {"site": site, "coordinates": kind, "values": found.model_dump(exclude_unset=True)}
        for (site, kind), found in positions.items()
    ]
    run.write_record(FILE, {"version": VERSION, "against": dict(against), "positions": rows})


def read_positions(run: Run, against: Mapping[Site, str] | None = None) -> Positions | None:
    """Read a run's ``position.json``.

    Returns:
        None without the file, for what a later version measured, and where ``against`` is given
        for what was measured against points of other names.

    Raises:
        InputError: if the file is damaged.
    """
    if (found := run.record(FILE)) is None:
        return None
    try:
        version = found["version"]
        if version not in {1, VERSION} or (against is not None and found["against"] != against):
            return None
        values = _from_headings if version == 1 else lambda row: row["values"]
        return {
            (row["site"], row["coordinates"]): validate(Position, values(row), f"at {row['site']}")
            for row in found["positions"]
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{FILE} of run {run.id} is damaged; without it, it is measured again where the run's "
            f"vectors are kept\n{type(error).__name__}: {error}"
        ) from None


def _from_headings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a row of version 1."""
    names = {heading: name for name, heading in HEADINGS.items()}
    effects = {f"effect {null}": value for null, value in row["effects"].items()}
    fields: dict[str, Any] = {}
    for heading, value in {**row["record"], **effects}.items():
        name, _, inner = names[heading].partition(".")
        if inner:
            fields.setdefault(name, {})[inner] = value
        else:
            fields[name] = value
    return fields
