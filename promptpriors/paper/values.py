"""Numbers of a study's runs, by a dotted address such as ``position.kept``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator

from promptpriors.analysis.plateau import steps_to
from promptpriors.errors import InputError, suggest
from promptpriors.runs import Run
from promptpriors.runs.positions import HEADINGS, read_positions
from promptpriors.verdicts.outcomes import RunOutcome, curve_of, number_at

COORDINATES = {"position": "raw", "visible": "visible"}
KEYED = ("result", "use", "bridge")
"""Records that are addressed by the dotted keys of their JSON file."""
EXPECTED = (
    "Expected position.FIELD, visible.FIELD, result.KEY, use.KEY, bridge.KEY or steps_to.LOSS"
)


def check_address(address: str) -> str:
    """Return an address that can be read.

    The first word names a record: ``result.KEY``, ``use.KEY`` and ``bridge.KEY`` (dotted keys of
    result.json, use.json, bridge.json), ``position.FIELD`` and ``visible.FIELD`` (of the first
    site, raw and as its block reads it; fields of ``runs.positions.Position``, such as ``kept`` and
    ``moved.effect``), ``steps_to.LOSS`` (steps until the validation loss is reached).

    Raises:
        InputError: for an address that names nothing; says what there is.
    """
    record, _, key = address.partition(".")
    if record == "steps_to":
        _loss(address)
    elif not (key and record in KEYED) and not (record in COORDINATES and key in HEADINGS):
        known = [f"{name}.{field}" for name in COORDINATES for field in HEADINGS]
        labels = {label_of(one): f" Did you mean {one!r}?" for one in known}
        fields = f"{record} has: {', '.join(HEADINGS)}" if record in COORDINATES else EXPECTED
        raise InputError(
            f"no value {address!r}.{labels.get(address) or suggest(address, known)} {fields}"
        )
    return address


Address = Annotated[str, AfterValidator(check_address)]
"""Address of a number, as ``check_address`` describes it; checked when a plan is read."""


def label_of(address: str) -> str:
    """Words for an address: the record, and the heading of its number in tables.

    >>> label_of("position.kept"), label_of("use.halves.embed.far.change")
    ('position:kept of the start', 'use:halves.embed.far.change')
    """
    record, _, key = address.partition(".")
    return f"{record}:{HEADINGS.get(key, key) if record in COORDINATES else key}"


def valued(runs: Sequence[RunOutcome], address: str) -> list[RunOutcome]:
    """Replace the metric of a study's runs by another value, or the reason for its absence.

    Raises:
        InputError: for an address that names nothing, or a damaged record.
    """
    check_address(address)
    return [_one(run, address) for run in runs]


def hint(runs: Sequence[RunOutcome], address: str) -> str:
    """Suggest keys of the runs' record for one that is missing."""
    record, *keys = address.split(".")
    records = (_keyed(run.run, record) for run in runs if run.run and record in KEYED)
    value = next(filter(None, records), None)
    for key in keys:
        if not isinstance(value, Mapping):
            break
        if key not in value:
            return f"{suggest(key, value)} There are: {', '.join(value)}"
        value = value[key]
    return ""


def _one(found: RunOutcome, address: str) -> RunOutcome:
    if found.run is None or found.value is None:
        return found
    try:
        value = _read(found, found.run, address)
    except InputError as error:
        raise InputError(f"run {found.plan.id}: {error}") from None
    return found._replace(value=value, reason="" if value is not None else f"it has no {address}")


def _read(found: RunOutcome, run: Run, address: str) -> float | None:
    record, _, key = address.partition(".")
    if record == "steps_to":  # all of them, where the loss was not reached: the restricted time
        curve = curve_of(found)
        reached = steps_to(curve, _loss(address)) if curve else None
        return float(curve[-1][0]) if curve and reached is None else reached
    if record in COORDINATES:
        positions = (read_positions(run) or {}).items()
        first = (p.flat() for (_, kind), p in positions if kind == COORDINATES[record])
        return next(first, {}).get(key)
    return number_at(_keyed(run, record), key)


def _keyed(run: Run, record: str) -> Any:
    return run.result if record == "result" else run.record(f"{record}.json")


def _loss(address: str) -> float:
    try:
        return float(address.removeprefix("steps_to."))
    except ValueError:
        raise InputError(f"no value {address!r}: expected nats, such as 'steps_to.1.1'") from None
