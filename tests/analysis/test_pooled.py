"""Means over a grid of rates: what is missing is said, what is planted is found."""

import pytest
import torch
from scipy import stats

from promptpriors.analysis.pooled import Outcome, means_over, pool
from promptpriors.errors import InputError
from tests.analysis.layouts import outcomes, without


def test_two_arms_over_seeds_are_the_paired_t_test_of_their_means_over_rates():
    data = outcomes({"a": 0.0, "b": 0.3})
    units = {arm: [] for arm in "ab"}
    for row in means_over(data, ["low", "high"])[0]:
        units[row.arm].append(row.value)
    expected = stats.ttest_rel(units["a"], units["b"])
    found = pool(data).differences([("a", "b")])
    t = float(found.estimates[0] / found.errors[0])
    assert (t, found.df) == (pytest.approx(expected.statistic), expected.df)


def test_seeds_that_no_two_arms_share_are_the_two_sample_t_test():
    data = outcomes({"a": 0.0, "b": 0.3}, rates=("one",))
    data = [o._replace(block=o.arm + o.block) for o in data]
    pooled = pool(data)
    found = pooled.differences([("a", "b")])
    expected = stats.ttest_ind(*([o.value for o in data if o.arm == arm] for arm in "ab"))
    assert float(found.estimates[0] / found.errors[0]) == pytest.approx(expected.statistic)
    assert (found.df, pooled.blocks) == (10, False)


def test_one_arm_alone_has_the_t_interval_over_its_seeds():
    data = outcomes({"a": 2.0}, rates=("one",))
    values = [o.value for o in data]
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    found = pool(data).interval("a")
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.estimate == pytest.approx(sum(values) / len(values))


def test_means_over_rates_with_some_missing_are_statsmodels_own_model():
    import pandas
    from statsmodels.formula.api import ols

    data = outcomes({"a": 0.0, "b": 0.3, "c": 1.0}, rates=("x", "y", "z"))[:-4]
    units = means_over(data, ["x", "y", "z"])[0]
    fit = ols("value ~ C(arm) + C(block)", pandas.DataFrame(units)).fit()
    weights = torch.zeros(len(fit.params), dtype=torch.float64)
    weights[list(fit.params.index).index("C(arm)[T.b]")] = 1
    expected = fit.t_test(weights.numpy())
    pooled = pool(data)
    found = pooled.differences([("b", "a")])
    assert float(found.estimates[0]) == pytest.approx(float(expected.effect[0]))
    assert float(found.errors[0]) == pytest.approx(float(expected.sd.item()))
    assert (pooled.df, pooled.sd) == (fit.df_resid, pytest.approx(fit.mse_resid**0.5))


def test_complete_data_have_the_plain_means():
    data = outcomes({"a": 0.0, "b": 0.3, "c": 1.0})
    pooled = pool(data)
    plain = [sum(o.value for o in data if o.arm == arm) / 12 for arm in "abc"]
    assert pooled.means.tolist() == pytest.approx(plain)
    assert (pooled.df, pooled.units) == (2 * 5, {"a": 6, "b": 6, "c": 6})


@pytest.mark.slow
def test_draws_shared_by_rates_are_no_replicates():
    """Of equal arms whose draws matter 5 % come out different; with runs as units far more do."""

    def wrong(*, runs_as_units):
        hits = 0
        for seed in range(300):
            data = outcomes({"a": 0, "b": 0, "c": 0}, seed=seed, rates=tuple("wxyz"), draw=1.0)
            if runs_as_units:
                data = [o._replace(rate="", block=o.block + o.rate) for o in data]
            found = pool(data).differences([("a", "b")])
            t = abs(float(found.estimates[0] / found.errors[0]))
            hits += t > stats.t.ppf(0.975, found.df)
        return hits / 300

    assert 0.01 < wrong(runs_as_units=False) < 0.095
    assert wrong(runs_as_units=True) > 0.15


def test_a_seed_that_an_arm_lacks_does_not_bend_the_difference():
    """Seeds differ by 100; an arm without the highest of them would otherwise seem lower."""
    data = outcomes({"a": 0.0, "b": 0.3, "c": 1.0}, block=100.0, rest=1e-3)
    pooled = pool(without(data, arm="b", block="2", rate="low"))
    found = pooled.differences([("b", "a"), ("c", "a")])
    assert found.estimates.tolist() == pytest.approx([0.3, 1.0], abs=5e-3)
    assert pooled.incomplete == [("b", "2")]
    assert pooled.units == {"a": 6, "b": 5, "c": 6}
    assert float(found.errors[0]) > float(found.errors[1])


def test_a_rate_that_an_arm_never_finished_is_left_out_for_all_and_said():
    data = outcomes({"a": 0.0, "b": 0.3}, shift=50.0, rest=1e-3)
    pooled = pool(without(data, arm="b", rate="high"))
    assert (pooled.rates, pooled.aside) == (["low"], ["high"])
    found = pooled.differences([("b", "a")])
    assert float(found.estimates[0]) == pytest.approx(0.3, abs=5e-3)
    chosen = pool(data, rates=["high"])
    assert float(chosen.means[0]) - float(pooled.means[0]) == pytest.approx(50, abs=0.01)


@pytest.mark.slow
def test_intervals_hold_the_truth_with_seeds_missing():
    held = 0
    for seed in range(600):
        data = outcomes({"a": 0.0, "b": 0.3, "c": 1.0}, seed=seed, draw=0.7)
        data = without(without(data, arm="b", block="2", rate="low"), arm="c", block="0")
        found = pool(data).differences([("c", "b")])
        half = float(found.errors[0]) * stats.t.ppf(0.975, found.df)
        held += abs(float(found.estimates[0]) - 0.7) <= half
    assert held / 600 == pytest.approx(0.95, abs=0.036)  # ± 4 deviations


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no outcomes"),
        (outcomes({"a": 0.0, "b": 1.0}, seeds=1), "expected 2 arms with 2 seeds"),
        (outcomes({"a": float("nan")}), "nan is not finite"),
        ([*outcomes({"a": 0.0}), Outcome("a", "low", "3", 1.0)], "two runs at 'low' with seed 3"),
        (
            [Outcome("a", "low", "0", 1.0), Outcome("b", "high", "0", 1.0)],
            "no rate at which each of a, b",
        ),
        (outcomes({"a": 0.0, "b": 1.0}, block=0, rest=0, shift=0), "no spread to compare by"),
        (
            [
                Outcome(arm, rate, seed, float(i))
                for i, (arm, rate, seed) in enumerate(
                    [("a", "x", "0"), ("a", "x", "1"), ("b", "x", "0"), ("b", "y", "1"),
                     ("a", "y", "2")]
                )
            ],
            "arm 'a' has no seed with a run at each rate",
        ),
        (
            [
                Outcome(arm, "x", seed, float(i**2))
                for i, (arm, seed) in enumerate(
                    [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"), ("c", "2"), ("c", "3")]
                )
            ],
            "share no seed",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_told_is_refused_in_words(data, words):
    with pytest.raises(InputError, match=words):
        pool(data)


def test_an_unknown_arm_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown arm 'c'.*a, b"):
        pool(outcomes({"a": 0.0, "b": 1.0})).interval("c")
