"""Power as computed is the share of successes of the very tests, on data with that spread."""

import numpy as np
import pytest
from scipy import stats

from promptpriors.analysis.equality import equality
from promptpriors.analysis.pooled import pool
from promptpriors.analysis.power import (
    difference_power,
    equality_power,
    units_needed,
)
from promptpriors.analysis.simultaneous import simultaneous
from tests.analysis.layouts import outcomes

TIMES = 250


def studies(effects, seeds):
    """Two rates, a draw of 0.6 and a rest of 0.5: a unit's spread is √(0.36 + 0.25 / 2)."""
    for seed in range(TIMES):
        yield pool(outcomes(effects, seed=seed, seeds=seeds, draw=0.6, rest=0.5))


SD = (0.6**2 + 0.5**2 / 2) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "seeds", "margin"), [(2, 5, 1.2), (5, 5, 1.4)])
def test_equality_succeeds_as_often_as_its_power_says(arms, seeds, margin):
    effects = dict.fromkeys("abcdef"[:arms], 0.0)
    found = sum(equality(p, margin).verdict == "equal" for p in studies(effects, seeds)) / TIMES
    df = (arms - 1) * (seeds - 1)
    expected = equality_power(sd=SD, units=seeds, arms=arms, df=df, margin=margin)
    assert 0.1 < expected < 0.95  # where a test of it means something
    assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / TIMES) ** 0.5)


@pytest.mark.slow
def test_dunnetts_test_succeeds_as_often_as_its_power_says():
    effects = {"reference": 0.0, "a": 0.0, "b": 1.0, "c": 0.0}
    pairs = [(arm, "reference") for arm in "abc"]
    found = sum(float(simultaneous(p.differences(pairs)).p[1]) < 0.05 for p in studies(effects, 6))
    expected = difference_power(sd=SD, units=6, arms=4, df=15, difference=1.0)
    assert 0.1 < expected < 0.95
    assert found / TIMES == pytest.approx(
        expected, abs=4 * (expected * (1 - expected) / TIMES) ** 0.5
    )


def test_two_arms_have_the_power_of_the_noncentral_t():
    shift = 1.0 / (0.7 * (2 / 9) ** 0.5)
    critical = stats.t.ppf(0.975, 16)
    expected = stats.nct.sf(critical, 16, shift) + stats.nct.cdf(-critical, 16, shift)
    found = difference_power(sd=0.7, units=9, arms=2, df=16, difference=1.0)
    assert found == pytest.approx(expected, abs=1e-8)
    assert difference_power(sd=0.7, units=9, arms=2, df=16, difference=0.0) == pytest.approx(0.05)


def test_two_arms_are_equal_with_the_probability_of_a_double_integral():
    from scipy.integrate import quad

    df, error, t = 8, 0.7 * (2 / 5) ** 0.5, stats.t.ppf(0.95, 8)

    def within(s):
        room = max(0.0, 1.0 - t * s * error) / error
        return (2 * stats.norm.cdf(room) - 1) * stats.chi.pdf(s * df**0.5, df) * df**0.5

    expected = quad(within, 0, 1 / (t * error), epsabs=1e-10)[0]
    assert equality_power(sd=0.7, units=5, arms=2, df=8, margin=1.0) == pytest.approx(expected)


def test_the_range_has_the_distribution_of_scipys_studentized_range():
    """A spread known by very many degrees leaves the range alone."""
    for arms in (3, 7):
        found = equality_power(sd=1.0, units=1, arms=arms, df=10**9, margin=5.5)
        room = 5.5 - stats.norm.ppf(0.95) * 2**0.5
        assert found == pytest.approx(stats.studentized_range.cdf(room, arms, np.inf), abs=1e-4)


def test_a_margin_within_the_noise_can_not_be_shown():
    assert equality_power(sd=1.0, units=3, arms=4, df=6, margin=1e-3) == pytest.approx(0, abs=1e-9)


def test_the_units_needed_are_the_first_that_reach_the_power():
    def power(units, df):
        return equality_power(sd=1.0, units=units, arms=4, df=df, margin=1.0)

    needed = units_needed(power, lambda n: 3 * (n - 1))
    assert power(needed, 3 * (needed - 1)) >= 0.8 > power(needed - 1, 3 * (needed - 2))
    assert units_needed(lambda units, df: 1.0, lambda n: n) == 2
    assert units_needed(lambda units, df: 0.0, lambda n: n) is None
