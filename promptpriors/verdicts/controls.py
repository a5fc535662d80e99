"""Controls of a study: a difference that must be found, and an equality that must be."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from promptpriors.analysis.equality import equality
from promptpriors.analysis.pooled import Outcome, Pooled, pool
from promptpriors.analysis.simultaneous import simultaneous
from promptpriors.errors import InputError
from promptpriors.runs.study_results import ControlState
from promptpriors.verdicts.outcomes import RunOutcome, Setting, lacks, mostly_missing

ALPHA = 0.05
"""Level of every test of a study."""


class Row(NamedTuple):
    """Difference to the reference, adjusted for all that are compared with it."""

    value: float
    low: float
    high: float
    p: float


class ControlTest(NamedTuple):
    """Test of a control.

    Attributes:
        state: its outcome.
        p: of the test that it must pass.
        reason: why it is missing.
        row: its difference to the reference.
    """

    state: ControlState
    p: float | None = None
    reason: str = ""
    row: Row | None = None


def positive(setting: Setting, arms: Sequence[Outcome], aside: Mapping[str, str]) -> ControlTest:
    """Test that it differs by the test of the arms, as one more of them at its rate."""
    try:
        pooled, name, reference = _among(setting, setting.by_arm("positive"), arms, aside)
    except InputError as error:
        return ControlTest("missing", reason=str(error).splitlines()[0])
    row = against(pooled, reference)[name]
    return ControlTest("passed" if row.p <= ALPHA else "failed", row.p, row=row)


def negative(
    setting: Setting, arms: Sequence[Outcome], aside: Mapping[str, str], margin: float | None
) -> ControlTest:
    """Test that it is equal by the test of pairs; missing without a margin."""
    try:
        pooled, name, reference = _among(setting, setting.by_arm("negative"), arms, aside)
    except InputError as error:
        return ControlTest("missing", reason=str(error).splitlines()[0])
    row = against(pooled, reference)[name]
    if margin is None:
        return ControlTest("missing", reason="there is no margin", row=row)
    found = equality(pooled, margin, arms=[reference, name], alpha=ALPHA)
    return ControlTest("passed" if found.verdict == "equal" else "failed", found.p, row=row)


def against(pooled: Pooled, reference: str) -> dict[str, Row]:
    """Compare every other arm with the reference, by Dunnett's test.

    Raises:
        InputError: if there is no other.
    """
    others = [arm for arm in pooled.arms if arm != reference]
    contrasts = pooled.differences((arm, reference) for arm in others)
    found = simultaneous(contrasts, level=1 - ALPHA)
    columns = (contrasts.estimates, found.low, found.high, found.p)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {arm: Row(*row) for arm, row in zip(others, rows, strict=True)}


def checked(reference: str | None, aside: Mapping[str, str], arms: Sequence[str]) -> str:
    """Check that there is a reference to compare with, and return it.

    Raises:
        InputError: otherwise.
    """
    if reference is None:
        raise InputError("the study names no reference")
    if reference in aside:
        raise InputError(f"of the reference {aside[reference]}")
    if reference not in arms:
        raise InputError(f"the reference {reference!r} has no run that can be compared")
    return reference


def _among(
    setting: Setting,
    controls: Mapping[str, Sequence[RunOutcome]],
    arms: Sequence[Outcome],
    aside: Mapping[str, str],
) -> tuple[Pooled, str, str]:
    """The arms and the control at its rates, its name and the reference's.

    An arm whose runs are the control's as well says nothing more, and is left out.
    """
    reference = checked(setting.compare.reference, aside, [outcome.arm for outcome in arms])
    if len(controls) != 1:
        raise InputError(f"there are several: {', '.join(controls)}" if controls else "no runs")
    ((name, runs),) = controls.items()
    if mostly_missing(runs):
        raise InputError(lacks(runs))
    mine = setting.outcomes(runs)
    cells = {outcome.rate for outcome in mine}
    ids = {run.plan.id for run in runs}
    same = {
        arm for arm, theirs in setting.by_arm("arm").items() if ids & {r.plan.id for r in theirs}
    }
    beside = [outcome for outcome in arms if outcome.rate in cells and outcome.arm not in same]
    if all(outcome.arm != reference for outcome in beside):
        raise InputError(f"the reference has no run at its rate, {', '.join(sorted(cells))}")
    return pool([*beside, *mine]), name, reference
