"""Equality of arms, that is, differences below a margin: two one-sided tests a pair."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from promptpriors.analysis.pooled import Pooled
from promptpriors.analysis.significance import quantile
from promptpriors.analysis.simultaneous import simultaneous
from promptpriors.errors import InputError

Verdict = Literal["equal", "different", "undecided"]


class Pair(NamedTuple):
    """Test of two arms.

    Attributes:
        difference: first less second.
        low: of the interval of confidence 1 − 2α.
        p: that the difference is beyond the margin, as far as the nearer end of it goes.
        verdict: ``equal``: within the margin; ``different``: beyond it, by an interval that holds
            for all pairs together; else ``undecided``.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict


class Equality(NamedTuple):
    """Test of all pairs of arms.

    Attributes:
        p: the largest of the pairs.
        verdict: ``equal`` where every pair is, ``different`` where one is, else ``undecided``.
    """

    pairs: list[Pair]
    p: float
    verdict: Verdict


def equality(
    pooled: Pooled, margin: float, *, arms: Sequence[str] | None = None, alpha: float = 0.05
) -> Equality:
    """Two one-sided t tests (TOST) on every pair of arms; all must pass.

    A pair is equal where both H: δ ≤ −margin and H: δ ≥ margin are rejected at α, that is, where
    the interval of confidence 1 − 2α lies within the margin (Schuirmann 1987). That all arms are
    equal is the intersection–union test (Berger 1982): it needs no adjustment, each pair is tested
    at α. The pairs' own verdicts of equality hold one at a time. The margin has the values' unit;
    without ``arms`` all are compared.

    Raises:
        InputError: for fewer than 2 arms or a margin that is not positive.
    """
    from scipy.stats import t

    if not margin > 0:
        raise InputError(f"the margin of equality is {margin}; expected a positive number")
    names = pooled.arms if arms is None else list(arms)
    if len(names) < 2:
        raise InputError(f"equality needs 2 arms at least, found {len(names)}")
    contrasts = pooled.differences(combinations(names, 2))
    together = simultaneous(contrasts, level=1 - alpha)
    half = quantile(1 - alpha, pooled.df)
    pairs = []
    for i, (first, second) in enumerate(contrasts.pairs):
        difference, error = float(contrasts.estimates[i]), float(contrasts.errors[i])
        p = float(t.sf((margin - abs(difference)) / error, pooled.df))
        beyond = float(together.low[i]) > margin or float(together.high[i]) < -margin
        low, high = difference - half * error, difference + half * error
        pairs.append(Pair(first, second, difference, low, high, p, _verdict(p <= alpha, beyond)))
    found = {pair.verdict for pair in pairs}
    overall = _verdict(found == {"equal"}, "different" in found)
    return Equality(pairs, max(pair.p for pair in pairs), overall)


def _verdict(within: bool, beyond: bool) -> Verdict:
    if within:
        return "equal"
    return "different" if beyond else "undecided"
