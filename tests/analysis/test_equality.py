"""Equality has to be shown: two one-sided tests on every pair."""

import numpy as np
import pytest
from scipy import stats

from promptpriors.analysis.equality import equality
from promptpriors.analysis.pooled import pool
from promptpriors.errors import InputError
from tests.analysis.layouts import outcomes


def test_a_pair_has_the_p_and_the_interval_of_two_paired_one_sided_tests():
    from statsmodels.stats.weightstats import ttost_paired

    data = outcomes({"a": 0.0, "b": 0.3}, rates=("one",))
    x, y = (np.array([o.value for o in data if o.arm == arm]) for arm in "ab")
    expected = ttost_paired(x, y, -1.5, 1.5)
    found = equality(pool(data), 1.5)
    (pair,) = found.pairs
    assert (pair.p, found.p) == (pytest.approx(expected[0]),) * 2
    interval = stats.ttest_rel(x, y).confidence_interval(0.9)
    assert (pair.low, pair.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


@pytest.mark.parametrize(
    ("effects", "rest", "verdict"),
    [
        ({"a": 0.0, "b": 0.0, "c": 0.05}, 0.05, "equal"),
        ({"a": 0.0, "b": 0.0, "c": 1.0}, 0.05, "different"),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, 5.0, "undecided"),
        ({"a": 0.0, "b": 0.0, "c": -1.0}, 0.05, "different"),
        ({"a": 0.0, "b": 0.0, "c": 0.3}, 0.05, "undecided"),  # apart, and just at the margin
        ({"a": 0.0, "b": 0.0, "c": -0.3}, 0.05, "undecided"),
    ],
)
def test_what_is_planted_is_found(effects, rest, verdict):
    found = equality(pool(outcomes(effects, rest=rest)), 0.3)
    assert found.verdict == verdict
    assert len(found.pairs) == 3
    for pair in found.pairs:
        within = pair.low > -0.3 and pair.high < 0.3
        assert (pair.verdict == "equal") == within == (pair.p < 0.05)


def test_one_pair_apart_leaves_the_others_their_verdicts():
    found = equality(pool(outcomes({"a": 0.0, "b": 0.0, "c": 1.0}, rest=0.05)), 0.3)
    assert [pair.verdict for pair in found.pairs] == ["equal", "different", "different"]
    alone = equality(pool(outcomes({"a": 0.0, "b": 0.0, "c": 1.0}, rest=0.05)), 0.3, arms="ab")
    assert (alone.verdict, len(alone.pairs)) == ("equal", 1)


@pytest.mark.slow
def test_arms_a_margin_apart_are_called_equal_in_one_study_of_twenty_and_no_more():
    two, three = (
        sum(
            equality(pool(outcomes(effects, seed=s, seeds=10, draw=0.5)), 2.0).verdict == "equal"
            for s in range(300)
        )
        / 300
        for effects in ({"a": 0.0, "b": 2.0}, {"a": 0.0, "b": 0.0, "c": 2.0})
    )
    assert two < 0.1  # 300 at 0.05: ± 4 deviations
    assert three <= 0.05


@pytest.mark.slow
def test_arms_a_margin_apart_are_seldom_called_different():
    called = [
        equality(pool(outcomes({"a": 0.0, "b": 2.0, "c": 2.0}, seed=s, seeds=4)), 2.0).verdict
        for s in range(150)
    ]
    assert called.count("different") / 150 < 0.1


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_is_positive(margin):
    with pytest.raises(InputError, match="expected a positive number"):
        equality(pool(outcomes({"a": 0.0, "b": 1.0})), margin)


def test_one_arm_is_too_few():
    with pytest.raises(InputError, match="needs 2 arms at least, found 1"):
        equality(pool(outcomes({"a": 0.0, "b": 1.0})), 1.0, arms=["a"])
