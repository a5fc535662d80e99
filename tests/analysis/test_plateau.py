"""Curves of losses: at rest or not, and how many steps to a loss."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.analysis.plateau import mean_curve, mean_loss, rest, restricted_mean, steps_to
from promptpriors.analysis.significance import t_interval
from promptpriors.errors import InputError


def falling(rate, steps=300, every=20, floor=1.0):
    return [(s, floor + 2 * math.exp(-rate * s)) for s in range(0, steps + 1, every)]


def test_a_curve_that_has_levelled_off_is_at_rest_and_one_that_falls_is_not():
    assert rest(falling(0.05), 0.01).at_rest
    assert not rest(falling(0.005), 0.01).at_rest
    assert not rest([(s, 1 + s / 300) for s in range(0, 301, 20)], 0.01).at_rest


def test_a_line_falls_on_by_what_it_fell_in_its_last_third():
    line = [(s, 5 - s / 100) for s in range(0, 301, 10)]
    found = rest(line, 1.01)
    assert (found.fall, found.at_rest) == (pytest.approx(1.0), True)
    assert not rest(line, 0.99).at_rest


def test_what_the_rule_says_is_no_less_than_what_such_a_curve_still_falls():
    for rate in (0.002, 0.01, 0.03):
        curve = falling(rate)
        more = curve[-1][1] - (1 + 2 * math.exp(-rate * 400))
        assert rest(curve, 1.0).fall >= more > 0


def test_a_curve_with_few_evaluations_tells_nothing():
    for curve in ([], [(0, 1.0)], [(0, 3.0), (100, 2.0), (200, 1.0)]):
        with pytest.raises(InputError, match=r"evaluations; expected 3 at least"):
            rest(curve, 0.1)


def test_the_first_crossing_counts_and_is_found_between_evaluations():
    curve = [(0, 4.0), (10, 3.0), (20, 1.0), (30, 3.0), (40, 0.5)]
    assert steps_to(curve, 3.5) == 5
    assert steps_to(curve, 2.0) == 15
    assert steps_to(curve, 3.0) == 10
    assert steps_to(curve, 4.0) == 0
    assert steps_to(curve, 0.4) is None
    assert steps_to([], 1.0) is None


def test_the_restricted_mean_is_the_area_under_the_survival_curve():
    from statsmodels.duration.survfunc import SurvfuncRight

    times = [30.0, 80.0, 55.0, None, 12.0, None, 80.0]
    found = restricted_mean(times, 100.0)
    seen = [100.0 if time is None else time for time in times]
    curve = SurvfuncRight(seen, [time is not None for time in times])
    edges = [0.0, *curve.surv_times.tolist(), 100.0]
    heights = [1.0, *curve.surv_prob.tolist()]
    area = sum(h * (b - a) for h, a, b in zip(heights, edges, edges[1:], strict=False))
    assert found.estimate == pytest.approx(area)
    assert found.low < found.estimate < found.high <= 100


def test_its_interval_holds_the_truth_and_stays_within_the_steps():
    """min(T, 100) of an exponential T with mean 100 is 100 (1 − 1/e) on average."""
    stream = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(500):
        times = torch.empty(8, dtype=torch.float64).exponential_(0.01, generator=stream).tolist()
        found = restricted_mean([t if t < 100 else None for t in times], 100.0)
        assert found.low >= 0
        assert found.high <= 100
        held += found.low <= 100 * (1 - math.exp(-1)) <= found.high
    assert 0.88 < held / 500 < 0.99


def test_runs_that_never_get_there_count_as_the_last_step():
    assert tuple(restricted_mean([None, None], 50.0)) == (50, 50, 50)
    assert restricted_mean([70.0, 30.0], 50.0).estimate == 40
    with pytest.raises(InputError, match="needs 2 values"):
        restricted_mean([3.0], 50.0)


def test_the_mean_loss_counts_evaluations_by_the_steps_between_them():
    assert mean_loss([(0, 4.0), (10, 2.0), (40, 2.0)]) == (3 * 10 + 2 * 30) / 40
    with pytest.raises(InputError, match="needs 2 evaluations"):
        mean_loss([(0, 1.0)])


@given(st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=2, max_size=5))
def test_a_curve_is_the_mean_with_its_t_interval_at_each_step(losses):
    found = mean_curve("a", "0.1", [dict(enumerate(run)) for run in losses])
    assert found.steps == [0, 1, 2]
    for i in range(3):
        expected = t_interval(torch.tensor([run[i] for run in losses], dtype=torch.float64))
        got = (found.mean[i], found.low[i], found.high[i])
        assert got == pytest.approx((expected.estimate, expected.low, expected.high))


def test_a_curve_has_the_steps_that_all_its_runs_share():
    found = mean_curve("a", "", [{0: 3.0, 10: 2.0, 20: 1.0}, {0: 1.0, 20: 3.0}])
    assert (found.steps, found.mean, found.runs) == ([0, 20], [2.0, 2.0], 2)
    assert mean_curve("a", "", [{0: 1.0}, {1: 1.0}]) is None
    assert mean_curve("a", "", []) is None


def test_long_curves_keep_their_ends():
    found = mean_curve("a", "", [{step: float(step) for step in range(5000)}])
    assert len(found.steps) == 120
    assert (found.steps[0], found.steps[-1]) == (0, 4999)
    assert found.mean == [float(step) for step in found.steps]
