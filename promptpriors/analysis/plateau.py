"""Curves of losses: coming to rest, steps to a loss, mean height."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from promptpriors.analysis.significance import Interval, t_interval
from promptpriors.errors import InputError

MIN_EVALUATIONS = 3  # that a line is fitted to
PART = 3  # the last third of the steps is looked at

Curve = Sequence[tuple[int, float]]  # steps, rising, and the loss after each


class Rest(NamedTuple):
    """Movement of a curve at its end.

    Attributes:
        fall: of the line over the last third of the steps, in nats; negative where it rises.
        at_rest: whether it is less than the margin, up or down.
    """

    fall: float
    at_rest: bool


def rest(curve: Curve, margin: float) -> Rest:
    """Movement in a third of the curve's steps more, against a margin in nats.

    A line is fitted by least squares to the losses of the last third of the steps. Gone on for as
    many steps again, it falls by as much again; losses that level off fall by less, so a curve
    that passes has little left to gain, and one that rises by the margin does not pass.

    Raises:
        InputError: for fewer than 3 evaluations in the last third.
    """
    last = curve[-1][0] if curve else 0
    part = [(step, loss) for step, loss in curve if step >= last - last / PART]
    if len(part) < MIN_EVALUATIONS:
        raise InputError(
            f"the last third of the steps has {len(part)} evaluations; expected {MIN_EVALUATIONS} "
            "at least: evaluate more often"
        )
    steps, losses = torch.tensor(part, dtype=torch.float64).T
    centred = steps - steps.mean()
    slope = float((centred * losses).sum() / centred.square().sum())
    fall = -slope * last / PART
    return Rest(fall, abs(fall) < margin)


def steps_to(curve: Curve, loss: float) -> float | None:
    """Steps until the curve is first at or below a loss, or None where it never is.

    Between two evaluations the curve is taken for a line.

    >>> steps_to([(0, 4.0), (10, 2.0), (20, 1.0)], 3.0)
    5.0
    """
    before: tuple[int, float] | None = None
    for step, value in curve:
        if value <= loss:
            if before is None:
                return float(step)
            share = (before[1] - loss) / (before[1] - value)
            return before[0] + share * (step - before[0])
        before = (step, value)
    return None


def restricted_mean(times: Sequence[float | None], horizon: float) -> Interval:
    """The mean of min(T, horizon) over runs, with its t interval; None is a T beyond the horizon.

    Times are one an independent unit. With every run watched until the horizon nothing is lost to
    censoring, and this is the area under the Kaplan–Meier curve up to it (Royston & Parmar 2013).
    The interval's ends are kept within what the mean can be.

    Raises:
        InputError: for fewer than 2 times.
    """
    seen = [horizon if time is None else min(time, horizon) for time in times]
    found = t_interval(torch.tensor(seen, dtype=torch.float64))
    return Interval(found.estimate, max(0.0, found.low), min(horizon, found.high))


def mean_loss(curve: Curve) -> float:
    """The mean over the steps of the line through the losses: the area below it, a step.

    >>> mean_loss([(0, 4.0), (10, 2.0)])
    3.0

    Raises:
        InputError: for a curve without extent.
    """
    if len(curve) < 2:
        raise InputError(f"a curve needs 2 evaluations at least, found {len(curve)}")
    steps, losses = torch.tensor(curve, dtype=torch.float64).T
    return float(torch.trapezoid(losses, steps) / (steps[-1] - steps[0]))


class MeanCurve(NamedTuple):
    """Mean loss of an arm's runs at a rate, with its interval.

    Attributes:
        rate: a word for it.
        steps: those at which every run was evaluated.
        mean: nats per target token at each.
        low: lower ends of the 95 % t intervals of the mean; empty for a single run.
        high: upper ends, likewise.
        runs: number of these.
    """

    arm: str
    rate: str
    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    runs: int


def mean_curve(
    arm: str, rate: str, evaluations: Sequence[Mapping[int, float]], *, at_most: int = 120
) -> MeanCurve | None:
    """Average runs at the steps that they share; None where they share none.

    Of each run it takes the validation loss by step. Of the steps it keeps ``at_most``, evenly
    spread, the first and the last among them.
    """
    shared = sorted(set.intersection(*map(set, evaluations))) if evaluations else []
    if not shared:
        return None
    kept = np.linspace(0, len(shared) - 1, min(at_most, len(shared))).round().astype(int)
    steps = [shared[i] for i in kept]
    rows = [[found[step] for found in evaluations] for step in steps]
    values = torch.tensor(rows, dtype=torch.float64)
    intervals = [t_interval(row) for row in values] if len(evaluations) > 1 else []
    low, high = [found.low for found in intervals], [found.high for found in intervals]
    return MeanCurve(arm, rate, steps, values.mean(dim=1).tolist(), low, high, len(evaluations))
