"""A run's position as it was measured while its vectors were there: ``position.json`` beside it."""

from collections.abc import Mapping

from promptpriors.errors import InputError
from promptpriors.measure.position import Position
from promptpriors.runs import Run
from promptpriors.types import Site

VERSION = 1
"""Raised whenever the same run would be measured otherwise."""
Positions = dict[tuple[Site, str], Position]
"""By site and kind of coordinates."""


def store_positions(run: Run, positions: Positions, against: Mapping[Site, str]) -> None:
    """Write what was measured of a run into its folder.

    Args:
        run: whose.
        positions: what was measured.
        against: at each site, the names of the points that it was measured against.
    """
    rows = [
        {"site": site, "coordinates": kind, **place._asdict()}
        for (site, kind), place in positions.items()
    ]
    run.write_record(
        "position.json", {"version": VERSION, "against": dict(against), "positions": rows}
    )


def stored_positions(run: Run, against: Mapping[Site, str] | None = None) -> Positions | None:
    """What was measured of a run; None where nothing was, or by another version.

    Args:
        run: whose.
        against: None also for what was measured against points of other names.

    Raises:
        InputError: if the file is damaged.
    """
    found = run.record("position.json")
    if found is None:
        return None
    try:
        if found["version"] != VERSION or (against is not None and found["against"] != against):
            return None
        return {
            (row["site"], row["coordinates"]): Position(dict(row["record"]), dict(row["effects"]))
            for row in found["positions"]
        }
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"position.json of {run.where} is damaged; remove it, it is measured again"
        ) from None
