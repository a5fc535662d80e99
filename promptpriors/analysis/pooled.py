"""Means of arms over a grid of rates, and their differences, with one spread for all arms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.components import indicator
from promptpriors.analysis.significance import Interval, student_interval
from promptpriors.errors import InputError, unknown


class Outcome(NamedTuple):
    """Value of one run, with its arm, rate and block.

    Attributes:
        rate: where on the grid that an arm's mean is over.
        block: what runs of different arms share, such as the seed of the data's order.
        value: such as a loss, in nats.
    """

    arm: str
    rate: str
    block: str
    value: float


@dataclass(frozen=True)
class Pooled:
    """Adjusted means of arms over a grid of rates.

    Attributes:
        arms: in the order of the means.
        rates: that every mean is over.
        aside: rates left out of the means, since some arm has no run there.
        incomplete: arm and block of the units left out, since they lack a run at some rate.
        units: independent values of each arm.
        blocks: whether differences between blocks were taken out.
        means: of the arms.
        covariance: of the means, with blocks held as they are.
        df: degrees of freedom of the spread.
        sd: spread of a unit about its arm's mean, blocks taken out.
    """

    arms: list[str]
    rates: list[str]
    aside: list[str]
    incomplete: list[tuple[str, str]]
    units: dict[str, int]
    blocks: bool
    means: Float[Tensor, " arms"]
    covariance: Float[Tensor, "arms arms"]
    df: int
    sd: float

    def interval(self, arm: str, *, level: float = 0.95) -> Interval:
        """Mean of an arm with its t interval."""
        row = self._row(arm)
        error = float(self.covariance[row, row]) ** 0.5
        return student_interval(float(self.means[row]), error, self.df, level)

    def differences(self, pairs: Iterable[tuple[str, str]]) -> "Contrasts":
        """First less second, for each pair of arms."""
        listed = list(pairs)
        weights = torch.zeros(len(listed), len(self.arms), dtype=torch.float64)
        for row, (first, second) in enumerate(listed):
            weights[row, self._row(first)] += 1
            weights[row, self._row(second)] -= 1
        covariance = weights @ self.covariance @ weights.T
        return Contrasts(listed, weights @ self.means, covariance, self.df)

    def _row(self, arm: str) -> int:
        if arm not in self.arms:
            raise unknown("arm", arm, self.arms)
        return self.arms.index(arm)


class Contrasts(NamedTuple):
    """Differences of means, first less second, with what tests of them need.

    Attributes:
        covariance: of the estimates.
        df: degrees of freedom of its scale.
    """

    pairs: list[tuple[str, str]]
    estimates: Float[Tensor, " k"]
    covariance: Float[Tensor, "k k"]
    df: int

    @property
    def errors(self) -> Float[Tensor, " k"]:
        """Standard errors."""
        return self.covariance.diagonal().sqrt()


def pool(outcomes: Sequence[Outcome], *, rates: Sequence[str] | None = None) -> Pooled:
    """Average each arm over the rates, and fit mean ~ arm + block by least squares.

    The mean over the rates of each arm and block is one value: runs that share arm and block start
    from the same draw, so they are no independent replicates and their scatter is no measure of how
    means would change with another draw (a split-plot layout: Cochran & Cox 1957, section 7.1).
    Blocks are weighted equally; with blocks in one arm each nothing is taken out.

    Args:
        outcomes: no two of one arm, rate and block.
        rates: to average over; otherwise all at which every arm has a run.

    Raises:
        InputError: for values that are not finite or there twice, arms without a common rate or
            without common blocks, and where nothing is left to tell the spread by.
    """
    _check(outcomes)
    arms = list(dict.fromkeys(o.arm for o in outcomes))
    grid = list(dict.fromkeys(o.rate for o in outcomes)) if rates is None else list(rates)
    have = {(o.arm, o.rate) for o in outcomes}
    common = [rate for rate in grid if all((arm, rate) in have for arm in arms)]
    if not common:
        raise InputError(
            f"there is no rate at which each of {', '.join(arms)} has a run; "
            f"rates are {', '.join(grid)}"
        )
    rows, incomplete = means_over(outcomes, common)
    if missing := [arm for arm in arms if all(row.arm != arm for row in rows)]:
        raise InputError(
            f"arm {missing[0]!r} has no seed with a run at each rate ({', '.join(common)})"
        )
    aside = [rate for rate in grid if rate not in common]
    units = {arm: sum(row.arm == arm for row in rows) for arm in arms}
    blocks, means, covariance, df, sd = _least_squares(rows, arms)
    return Pooled(arms, common, aside, incomplete, units, blocks, means, covariance, df, sd)


def means_over(
    outcomes: Sequence[Outcome], rates: Sequence[str]
) -> tuple[list[Outcome], list[tuple[str, str]]]:
    """The mean over ``rates`` of each arm and block that has them all, and those that do not."""
    groups: dict[tuple[str, str], list[float]] = {}
    for o in outcomes:
        if o.rate in rates:
            groups.setdefault((o.arm, o.block), []).append(o.value)
    whole = {key: values for key, values in groups.items() if len(values) == len(rates)}
    rows = [Outcome(arm, "", block, sum(v) / len(v)) for (arm, block), v in whole.items()]
    return rows, [key for key in groups if key not in whole]


def _check(outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        raise InputError("there are no outcomes to compare")
    seen = set()
    for o in outcomes:
        if not torch.isfinite(torch.tensor(o.value)):
            raise InputError(
                f"arm {o.arm!r} at {o.rate!r}, seed {o.block}: {o.value} is not finite"
            )
        if o[:3] in seen:
            raise InputError(f"arm {o.arm!r} has two runs at {o.rate!r} with seed {o.block}")
        seen.add(o[:3])


def _least_squares(
    rows: Sequence[Outcome], arms: list[str]
) -> tuple[bool, Tensor, Tensor, int, float]:
    """Whether deviations of blocks were fitted; the arms' means, their covariance, df, spread."""
    from statsmodels.regression.linear_model import OLS

    design = indicator([row.arm for row in rows], arms)
    block = indicator([row.block for row in rows])
    repeated = 1 < block.shape[1] < len(rows)
    if repeated:  # deviations of blocks sum to nothing
        design = torch.cat([design, block[:, :-1] - block[:, -1:]], dim=1)
    columns = design.shape[1]
    if int(torch.linalg.matrix_rank(design)) < columns:
        raise InputError(
            "some arms share no seed with the others, so that they can't be told from the seeds; "
            "expected the same seeds in every arm"
        )
    if len(rows) <= columns:
        raise InputError(
            f"{len(rows)} values leave nothing to tell the spread by beside {columns} means and "
            "effects of seeds; expected 2 arms with 2 seeds at least"
        )
    values = torch.tensor([row.value for row in rows], dtype=torch.float64)
    found = OLS(values.numpy(), design.numpy()).fit()
    sd = float(found.mse_resid) ** 0.5
    if sd <= 1e-12 * float(values.abs().max()):
        raise InputError("seeds do not change the values, so there is no spread to compare by")
    keep = slice(len(arms))
    covariance = torch.as_tensor(found.cov_params())[keep, keep]
    return repeated, torch.as_tensor(found.params)[keep], covariance, int(found.df_resid), sd
