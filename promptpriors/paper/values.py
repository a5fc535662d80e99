"""What a run of a study gave, by name: of its result, its position, its use, or its curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from promptpriors.errors import InputError
from promptpriors.measure.domain_gap import FILE as BRIDGE
from promptpriors.measure.effects import FILE as USE
from promptpriors.measure.stored import stored_positions
from promptpriors.runs import Run
from promptpriors.verdicts.outcomes import RunOutcome, curve_of


def valued(runs: Sequence[RunOutcome], name: str) -> list[RunOutcome]:
    """The same runs with another value; where there is none, with the reason.

    Args:
        runs: of a study.
        name: ``result:KEY``; ``position:COLUMN`` or ``visible:COLUMN`` of the first site (columns
            as ``promptpriors compare`` shows them, and ``effect NULL``: the distance to the nearest
            real point less that null's); ``use:KEY``; ``bridge:KEY``; ``steps to LOSS``. Keys are
            dotted.

    Raises:
        InputError: for a name that is none of these.
    """
    return [_one(run, name) for run in runs]


def _one(found: RunOutcome, name: str) -> RunOutcome:
    if found.run is None or found.value is None:
        return found
    try:
        value, reason = _read(found, found.run, name), ""
    except InputError as error:
        raise InputError(f"run {found.plan.id}: {error}") from None
    if value is None:
        reason = f"it has no {name}"
    return found._replace(value=value, reason=reason)


def _read(found: RunOutcome, run: Run, name: str) -> float | None:
    if name.startswith("steps to "):
        return _steps(found, name)
    kind, _, key = name.partition(":")
    if kind == "result":
        return _number(run.result, key)
    if kind in {"position", "visible"}:
        return _position(run, "raw" if kind == "position" else "visible", key)
    if kind in {"use", "bridge"}:
        return _number(run.record(USE if kind == "use" else BRIDGE), key)
    raise InputError(
        f"value {name!r}: expected result:KEY, position:COLUMN, visible:COLUMN, use:KEY, "
        "bridge:KEY or 'steps to LOSS'"
    )


def _steps(found: RunOutcome, name: str) -> float | None:
    """Steps until a loss is reached, or all of them: the restricted time of one run."""
    from promptpriors.analysis.plateau import steps_to

    try:
        loss = float(name.removeprefix("steps to "))
    except ValueError:
        raise InputError(f"value {name!r}: expected a number of nats") from None
    curve = curve_of(found)
    if not curve:
        return None
    reached = steps_to(curve, loss)
    return float(curve[-1][0]) if reached is None else reached


def _position(run: Run, coordinates: str, column: str) -> float | None:
    places = stored_positions(run) or {}
    for (_, kind), place in places.items():
        if kind == coordinates:
            if column.startswith("effect "):
                return _number(place.effects, column.removeprefix("effect "))
            return _number({"": place.record.get(column)}, "")
    return None


def _number(value: Any, key: str) -> float | None:
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if sound else None
