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
    assert held == pytest.approx(0.95, abs=1e-9)


@pytest.mark.parametrize(("count", "df"), [(3, 10), (5, 8), (9, 60)])
def test_all_pairs_of_alike_means_have_the_critical_value_of_the_studentized_range(count, df):
    pairs = list(combinations(range(count), 2))
    weights = torch.tensor([[(a == i) - (a == j) for a in range(count)] for i, j in pairs]).double()
    critical = critical_value(weights @ weights.T / 2, df)
    expected = stats.studentized_range.sf(2**0.5 * critical, count, df)
    assert float(expected) == pytest.approx(0.05, abs=1e-9)


def spreads(df, count=200):
    """Nodes of s / σ and their weights times its density."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    low, high = stats.chi.ppf([1e-12, 1 - 1e-12], df) / df**0.5
    s = low + (nodes + 1) / 2 * (high - low)
    return s, stats.chi.pdf(s * df**0.5, df) * df**0.5 * weights * (high - low) / 2


@pytest.mark.parametrize("bound", [1.5, 2.5, 12.0])
def test_arms_of_unequal_size_against_one_have_the_p_of_a_double_integral(bound):
    loadings, df = np.array([0.3, 0.7, 0.9, -0.6]), 7
    nodes, weights = np.polynomial.legendre.leggauss(400)
    s, density = spreads(df)
    z, half = 9 * nodes, bound * s[:, None, None]
    ends = [(sign * half - loadings * z[:, None]) / np.sqrt(1 - loadings**2) for sign in (1, -1)]
    inside = (stats.norm.cdf(ends[0]) - stats.norm.cdf(ends[1])).prod(axis=2)
    held = density @ inside @ (stats.norm.pdf(z) * weights * 9)
    correlation = torch.tensor(np.outer(loadings, loadings)).fill_diagonal_(1)
    found = float(largest_t(torch.tensor([bound]), correlation, df))
    assert found == pytest.approx(1 - held, abs=1e-10)


@pytest.mark.parametrize("bound", [1.5, 3.0, 20.0])
def test_pairs_of_three_arms_of_unequal_size_have_the_p_of_an_integral_over_the_circle(bound):
    from scipy.integrate import quad

    variances = [1.0, 0.5, 0.2]
    pairs = list(combinations(range(3), 2))
    weights = torch.tensor([[(a == i) - (a == j) for a in range(3)] for i, j in pairs]).double()
    covariance = weights @ torch.diag(torch.tensor(variances).double()) @ weights.T
    errors = covariance.diagonal().sqrt()
    correlation = covariance / errors.outer(errors)
    factor = np.linalg.cholesky(correlation[:2, :2].numpy())
    third = np.linalg.solve(factor, correlation[:2, 2].numpy())
    rows = np.vstack([factor, third])

    def beyond(angle):
        reach = abs(rows @ [np.cos(angle), np.sin(angle)]).max()
        return stats.f.sf(bound**2 / (2 * reach**2), 2, 9) / np.pi

    expected = quad(beyond, 0, np.pi, limit=500, epsabs=0, epsrel=1e-11)[0]
    found = float(largest_t(torch.tensor([bound]).double(), correlation, 9))
    assert found == pytest.approx(expected, rel=1e-8)


def test_the_critical_value_holds_its_digits_where_a_run_is_missing():
    """P(all |T| ≤ c) by a triple integral: the last coordinate's is known given the others."""
    data = without(outcomes(ARMS, seed=0, rates=("one",), seeds=5), arm="b", block="3")
    pooled = pool(data)
    contrasts = pooled.differences([(arm, "reference") for arm in "abc"])
    found = simultaneous(contrasts)
    errors = contrasts.errors
    a = np.linalg.cholesky((contrasts.covariance / errors.outer(errors)).numpy())
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s, density = spreads(pooled.df, 60)
    half = found.critical * s[:, None, None]
    x = half * nodes[:, None]
    low, high = ((sign * half - a[1, 0] * x) / a[1, 1] for sign in (-1, 1))
    y = low + (nodes + 1) / 2 * (high - low)
    ends = [(sign * half - a[2, 0] * x - a[2, 1] * y) / a[2, 2] for sign in (1, -1)]
    inside = stats.norm.cdf(ends[0]) - stats.norm.cdf(ends[1])
    within = (stats.norm.pdf(y) * inside * weights * (high - low) / 2).sum(axis=2)
    held = density @ (stats.norm.pdf(x[..., 0]) * within * weights * half[..., 0]).sum(axis=1)
    assert held == pytest.approx(0.95, abs=1e-6)


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
