"""Several differences at once: Dunnett's and Tukey's tests are special cases."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from promptpriors.analysis.pooled import pool
from promptpriors.analysis.simultaneous import critical_value, largest_t, simultaneous
from promptpriors.errors import InputError
from tests.analysis.layouts import outcomes, without

ARMS = {"reference": 0.0, "a": 0.4, "b": 1.2, "c": -0.6}


def one_way(seed=0):
    """Arms of unequal size that share no seeds."""
    data = without(outcomes(ARMS, seed=seed, rates=("one",), seeds=8), arm="b", block="3")
    return [o._replace(block=o.arm + o.block) for o in data]


def values(data):
    return {arm: [o.value for o in data if o.arm == arm] for arm in ARMS}


def to_reference(pooled, arms="abc"):
    return simultaneous(pooled.differences([(arm, "reference") for arm in arms]))


def test_differences_to_one_arm_are_dunnetts():
    data = one_way()
    reference, *others = values(data).values()
    expected = stats.dunnett(*others, control=reference, rng=np.random.default_rng(0))
    found = to_reference(pool(data))
    assert found.p.tolist() == pytest.approx(expected.pvalue.tolist(), abs=3e-3)
    interval = expected.confidence_interval()
    assert found.low.tolist() == pytest.approx(interval.low.tolist(), abs=1e-2)
    assert found.high.tolist() == pytest.approx(interval.high.tolist(), abs=1e-2)


def test_all_pairs_are_tukeys():
    data = one_way()
    expected = stats.tukey_hsd(*values(data).values())
    pairs = list(combinations(ARMS, 2))
    found = simultaneous(pool(data).differences(pairs))
    places = [(list(ARMS).index(x), list(ARMS).index(y)) for x, y in pairs]
    assert found.p.tolist() == pytest.approx([expected.pvalue[i, j] for i, j in places], abs=2e-3)


def test_a_single_difference_has_students_p_and_interval():
    pooled = pool(one_way())
    contrasts = pooled.differences([("a", "reference")])
    t = float(contrasts.estimates[0] / contrasts.errors[0])
    found = simultaneous(contrasts)
    assert float(found.p[0]) == pytest.approx(2 * stats.t.sf(abs(t), pooled.df), rel=1e-9)
    assert found.critical == pytest.approx(stats.t.ppf(0.975, pooled.df), rel=1e-7)


def test_the_same_difference_twice_costs_nothing():
    pooled = pool(one_way())
    once, twice = (
        simultaneous(pooled.differences([("a", "b")] * times)).p.tolist() for times in (1, 2)
    )
    assert twice == pytest.approx(once * 2)


@pytest.mark.parametrize(("k", "df"), [(2, 10), (4, 20), (9, 60)])
def test_a_common_reference_has_the_critical_value_of_dunnetts_double_integral(k, df):
    """P(all |T| ≤ c) = ∫∫ (Φ(z + √2 c s) − Φ(z − √2 c s))^k φ(z) f(s) dz ds (Dunnett 1955)."""
    critical = critical_value(0.5 * (torch.ones(k, k) + torch.eye(k)).double(), df)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    low, high = stats.chi.ppf([1e-12, 1 - 1e-12], df) / df**0.5
    z, s = 9 * nodes, low + (nodes[:, None] + 1) / 2 * (high - low)
    density = stats.chi.pdf(s * df**0.5, df) * df**0.5 * weights[:, None] * (high - low) / 2
    half = 2**0.5 * critical * s
    inside = (stats.norm.cdf(z + half) - stats.norm.cdf(z - half)) ** k
    held = (density * inside * stats.norm.pdf(z) * weights * 9).sum()
    assert held == pytest.approx(0.95, abs=3e-4)


@pytest.mark.slow
def test_p_is_what_integration_over_the_rectangle_gives():
    correlation = torch.tensor([[1, 0.5, -0.3], [0.5, 1, 0.2], [-0.3, 0.2, 1]]).double()
    bounds = [1.0, 2.0, 3.0]
    expected = [
        1
        - stats.multivariate_t.cdf(
            [b] * 3, shape=correlation.numpy(), df=12, lower_limit=[-b] * 3, maxpts=300_000,
            random_state=np.random.default_rng(0),
        )
        for b in bounds
    ]  # fmt: skip
    found = largest_t(torch.tensor(bounds), correlation, 12).tolist()
    assert found == pytest.approx(expected, rel=2e-3)


def test_p_is_right_far_out_in_the_tail():
    """Independent coordinates over one spread: P = ∫ (1 − (2 Φ(t s) − 1)³) f(s) ds."""
    from scipy.integrate import quad

    def beyond(s, t):
        one = 2 * stats.norm.sf(t * s)
        return (3 * one - 3 * one**2 + one**3) * stats.chi.pdf(s * 12**0.5, 12) * 12**0.5

    bounds = [4.0, 8.0, 16.0]
    expected = [quad(beyond, 0, 4, args=(t,), epsabs=0)[0] for t in bounds]
    found = largest_t(torch.tensor(bounds), torch.eye(3, dtype=torch.float64), 12)
    assert max(expected) < 6e-3
    assert found.tolist() == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_equal_arms_are_called_different_in_one_study_of_twenty():
    flat = dict.fromkeys(ARMS, 0.0)
    wrong = sum(
        float(to_reference(pool(outcomes(flat, seed=seed, draw=0.5, seeds=4))).p.min()) <= 0.05
        for seed in range(500)
    )
    assert 0.011 < wrong / 500 < 0.09  # 500 at 0.05: ± 4 deviations


def test_the_same_data_have_the_same_p_whatever_was_drawn_before():
    pooled = pool(one_way())
    first = to_reference(pooled).p
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert torch.equal(to_reference(pooled).p, first)


def test_an_interval_leaves_out_zero_where_p_is_below_one_in_twenty():
    for seed in range(20):
        found = to_reference(pool(outcomes(ARMS, seed=seed, seeds=4)))
        apart = (found.low > 0) | (found.high < 0)
        assert torch.equal(apart, found.p < 0.05)


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="one difference at least"):
        to_reference(pool(one_way()), arms="")
