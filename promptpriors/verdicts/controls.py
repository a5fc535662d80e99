"""Controls of a study: a difference that must be found, and an equality that must be."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from promptpriors.analysis.equality import equality
from promptpriors.analysis.pooled import Contrasts, Outcome, Pooled, pool
from promptpriors.analysis.simultaneous import simultaneous
from promptpriors.errors import InputError
from promptpriors.runs.studies import Kind
from promptpriors.runs.study_results import Control, Difference
from promptpriors.verdicts.outcomes import Setting, lacks, mostly_missing

ALPHA = 0.05
"""Level of every test of a study."""


class ControlTest(NamedTuple):
    """Result of a control with its difference to the reference."""

    result: Control
    row: Difference | None = None


def control_test(
    setting: Setting,
    kind: Kind,
    arms: Sequence[Outcome],
    aside: Mapping[str, str],
    margin: float | None,
) -> ControlTest:
    """Test a control against the reference, as one more arm at its rates.

    The positive one must differ by the test of the arms, the negative one must be equal by the test
    of pairs, which is missing without a margin.
    """
    try:
        pooled, name, reference = _among(setting, kind, arms, aside)
    except InputError as error:
        return ControlTest(Control(state="missing", reason=str(error).splitlines()[0]))
    row = against(pooled, reference)[name]
    if kind == "positive":
        return ControlTest(Control(state="passed" if differs(row) else "failed", p=row.p), row)
    if margin is None:
        return ControlTest(Control(state="missing", reason="there is no margin"), row)
    found = equality(pooled, margin, arms=[reference, name], alpha=ALPHA)
    state = "passed" if found.verdict == "equal" else "failed"
    return ControlTest(Control(state=state, p=found.p), row)


def differs(difference: Difference) -> bool:
    """Check whether a difference is significant."""
    return difference.p is not None and difference.p <= ALPHA


def against(pooled: Pooled, reference: str) -> dict[str, Difference]:
    """Compare every other arm with the reference, by Dunnett's test.

    Raises:
        InputError: if there is no other.
    """
    others = [arm for arm in pooled.arms if arm != reference]
    contrasts = pooled.differences((arm, reference) for arm in others)
    found = simultaneous(contrasts, level=1 - ALPHA)
    rows = differences_of(contrasts, found.low, found.high, found.p.tolist())
    return dict(zip(others, rows, strict=True))


def differences_of(
    contrasts: Contrasts, low: Tensor, high: Tensor, p: Sequence[float | None]
) -> list[Difference]:
    """List contrasts with their intervals and p."""
    columns = (contrasts.estimates.tolist(), low.tolist(), high.tolist(), p)
    return [Difference(value=v, low=a, high=b, p=q) for v, a, b, q in zip(*columns, strict=True)]


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
    setting: Setting, kind: Kind, arms: Sequence[Outcome], aside: Mapping[str, str]
) -> tuple[Pooled, str, str]:
    """The arms and the control at its rates, its name and the reference's.

    An arm whose runs are the control's as well says nothing more, and is left out.
    """
    reference = checked(setting.compare.reference, aside, [outcome.arm for outcome in arms])
    controls = setting.by_arm(kind)
    if len(controls) != 1:
        raise InputError(f"there are several: {', '.join(controls)}" if controls else "no runs")
    ((name, runs),) = controls.items()
    if mostly_missing(runs):
        raise InputError(lacks(runs))
    mine = setting.outcomes(runs)
    cells = {outcome.rate for outcome in mine}
    ids = {run.plan.id for run in runs}
    same = {r.plan.arm for r in setting.runs if r.plan.kind == "arm" and r.plan.id in ids}
    others = [outcome for outcome in arms if outcome.rate in cells and outcome.arm not in same]
    if all(outcome.arm != reference for outcome in others):
        raise InputError(f"the reference has no run at its rate, {', '.join(sorted(cells))}")
    return pool([*others, *mine]), name, reference
