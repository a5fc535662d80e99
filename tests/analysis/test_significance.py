"""Tests and intervals over independent units: exact where all permutations can be counted."""

import math

import pytest
import torch

from promptpriors.analysis.significance import (
    in_blocks,
    jackknife_interval,
    label_test,
    monte_carlo_p,
    sign_flip_test,
    t_interval,
)
from promptpriors.errors import InputError
from promptpriors.rng import generator


def normal(n, seed):
    return torch.randn(n, generator=generator(seed, "normal"))


def rejected(p, level=0.05):
    return sum(value <= level for value in p) / len(p)


def test_values_of_one_sign_have_the_least_p_that_their_number_allows():
    for n in (6, 8, 13):
        found = sign_flip_test(1 + torch.rand(n, generator=generator(n)), generator=generator(0))
        assert found.p == 2 / 2**n
    assert sign_flip_test(-torch.ones(6), generator=generator(0)).statistic == -1
    many = sign_flip_test(torch.ones(40), generator=generator(0), flips=999)
    assert many.p == 1 / 1000


def test_sign_flips_are_counted_one_by_one_where_they_are_few():
    values = torch.tensor([3.0, -1.0, 2.0, 0.5, 4.0, -0.25])
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 6)
    sums = (signs @ values).abs()
    expected = float((sums >= values.sum()).float().mean())
    for seed in (0, 1):
        assert sign_flip_test(values, generator=generator(seed)).p == pytest.approx(expected)


def test_all_divisions_are_counted_where_they_are_few():
    apart = label_test(torch.arange(4.0), 10 + torch.arange(4.0), generator=generator(0))
    assert apart.p == pytest.approx(2 / math.comb(8, 4))
    assert apart.statistic == -10
    uneven = label_test(torch.arange(3.0), 10 + torch.arange(5.0), generator=generator(0))
    assert uneven.p == pytest.approx(1 / math.comb(8, 3))


@pytest.mark.slow
def test_p_values_are_uniform_under_the_null():
    flips = [sign_flip_test(normal(20, s), generator=generator(s), flips=99).p for s in range(400)]
    labels = [
        label_test(
            normal(15, 2 * s), normal(25, 2 * s + 1), generator=generator(s), permutations=99
        ).p
        for s in range(400)
    ]
    for p in (flips, labels):
        assert 0.01 < rejected(p) < 0.095  # 400 at 0.05: ± 4 deviations
        assert 0.44 < sum(p) / len(p) < 0.56


def test_the_generator_decides_and_the_global_one_does_not():
    values = normal(30, 0) + 0.3
    torch.manual_seed(0)
    first = sign_flip_test(values, generator=generator(5), flips=99)
    torch.manual_seed(1)
    assert sign_flip_test(values, generator=generator(5), flips=99) == first
    assert {sign_flip_test(values, generator=generator(s), flips=99).p for s in range(5)} != {
        first.p
    }


def test_too_few_units_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match=r"can't be reached with 5 values; expected 6 at least"):
        sign_flip_test(torch.ones(5), generator=generator(0))
    with pytest.raises(InputError, match=r"3 values a side; expected 4 at least"):
        label_test(torch.ones(3), torch.zeros(3), generator=generator(0))
    with pytest.raises(InputError, match="expected 9 at least"):
        sign_flip_test(torch.ones(5), generator=generator(0), level=0.005)
    with pytest.raises(InputError, match="needs 2 values at least, found 1"):
        t_interval(torch.ones(1))
    with pytest.raises(InputError, match="needs 2 groups at least, found 1"):
        jackknife_interval(float, torch.zeros(5, dtype=torch.long), generator=generator(0))


def test_monte_carlo_p_counts_the_observed_among_the_nulls():
    nulls = torch.arange(99.0)
    assert monte_carlo_p(1000.0, nulls) == 0.01
    assert monte_carlo_p(1000.0, nulls, side="less") == 1
    assert monte_carlo_p(1000.0, nulls, side="both") == 0.02
    assert monte_carlo_p(-1.0, nulls, side="both") == 0.02
    assert monte_carlo_p(98.0, nulls) == 0.02
    assert monte_carlo_p(49.0, nulls, side="both") == 1


def test_t_intervals_hold_the_truth_as_often_as_they_say():
    held = [t_interval(3 + normal(5, s)) for s in range(1000)]
    share = sum(i.low <= 3 <= i.high for i in held) / 1000
    assert share == pytest.approx(0.95, abs=0.028)
    wide = t_interval(normal(5, 0), level=0.99)
    assert wide.high - wide.low > held[0].high - held[0].low


def test_the_jackknife_of_a_mean_is_the_t_interval():
    values = normal(12, 0)
    ours = jackknife_interval(
        lambda rows: float(values[rows].mean()), torch.arange(12), generator=generator(0)
    )
    assert list(ours) == pytest.approx(list(t_interval(values)), rel=1e-5)


def test_the_jackknife_deletes_whole_groups():
    """Ten copies of each value are no more information than one."""
    values = normal(15, 0)
    copies, groups = values.repeat_interleave(10), torch.arange(15).repeat_interleave(10)
    ours = jackknife_interval(
        lambda rows: float(copies[rows].mean()), groups, generator=generator(0)
    )
    assert list(ours) == pytest.approx(list(t_interval(values)), rel=1e-5)


@pytest.mark.slow
def test_jackknife_intervals_of_many_groups_in_blocks_hold_the_truth():
    def interval(seed):
        values = normal(90, seed).exp()
        return jackknife_interval(
            lambda rows: float(values[rows].mean().log()),
            torch.arange(90),
            generator=generator(seed),
            blocks=15,
        )

    held = [i.low <= 0.5 <= i.high for i in map(interval, range(400))]  # E exp Z = exp ½
    assert 0.87 < sum(held) / 400 < 0.985


def test_blocks_are_of_whole_groups_and_nearly_equal():
    groups = torch.arange(23).repeat_interleave(3)
    blocks = in_blocks(groups, 5, generator=generator(0))
    assert (blocks.view(23, 3) == blocks.view(23, 3)[:, :1]).all()
    assert sorted(torch.bincount(blocks[::3]).tolist()) == [4, 4, 5, 5, 5]
    assert not torch.equal(blocks, in_blocks(groups, 5, generator=generator(1)))
