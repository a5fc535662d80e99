"""Vectors come nearer to real points, or only moved."""

import math

import pytest
import torch

from promptpriors.analysis.collapse import collapse, collapse_over_runs, nearest
from promptpriors.errors import InputError
from promptpriors.rng import generator

LENGTH, DIM = 4, 12


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "normal"))


CLOUD = normal(400, DIM)


def judged(initial, final, seed=0, **options):
    return collapse(
        initial,
        final,
        CLOUD,
        redrawn=normal(99, LENGTH, DIM, seed=10_000 + seed),
        gaussian=normal(99, LENGTH, DIM, seed=20_000 + seed),
        generator=generator(seed),
        draws=99,
        **options,
    )


def test_the_nearest_point_is_nearest_in_length_or_in_direction():
    cloud = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    vectors = torch.tensor([[3.0, 4.0], [10.0, 1.0]])
    assert nearest(vectors, cloud).tolist() == pytest.approx([5, 1])
    found = nearest(torch.tensor([[1.0, 1.0]]), cloud[1:], metric="cosine")
    assert found.tolist() == pytest.approx([1 - math.sqrt(0.5)])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_vectors_that_went_to_real_points_are_found_by_all_three_nulls(metric):
    initial = normal(LENGTH, DIM, seed=1)
    final = 0.9 * CLOUD[:LENGTH] + 0.1 * initial
    found = judged(initial, final, metric=metric)
    assert [null.p for null in found] == [0.01] * 3
    assert all(null.effect < 0 for null in found)


@pytest.mark.slow
def test_a_random_displacement_is_not_flagged():
    p = []
    for seed in range(200):
        initial = normal(LENGTH, DIM, seed=3 * seed + 1)
        final = initial + 0.5 * normal(LENGTH, DIM, seed=3 * seed + 2)
        p.append(judged(initial, final, seed).moved.p)
    assert sum(value <= 0.05 for value in p) / 200 < 0.115
    assert 0.42 < sum(p) / 200 < 0.58


@pytest.mark.slow
def test_a_fresh_draw_of_the_prior_is_not_flagged():
    found = [
        judged(normal(LENGTH, DIM, seed=2 * s + 1), normal(LENGTH, DIM, seed=2 * s + 2), s)
        for s in range(200)
    ]
    for p in ([f.redrawn.p for f in found], [f.normed.p for f in found]):
        assert sum(value <= 0.05 for value in p) / 200 < 0.115
        assert 0.42 < sum(p) / 200 < 0.58


def test_vectors_that_only_shrink_are_nearer_than_the_prior_but_not_for_their_norm():
    """The cloud is densest at its centre: short vectors are near to it whatever their direction."""
    initial = normal(LENGTH, DIM, seed=1)
    found = judged(initial, 0.3 * normal(LENGTH, DIM, seed=2))
    assert found.redrawn.p <= 0.05
    assert found.normed.p > 0.05


@pytest.mark.slow
def test_long_draws_of_a_stretched_gaussian_are_not_flagged_for_their_directions():
    """A long draw lies along the wide axes: rescaled short ones, no null for it, flag 3 in 10."""
    spread = 10 / torch.arange(1.0, 41) ** 0.7
    cloud, p = normal(400, 40) * spread, []
    for seed in range(200):
        drawn = normal(2, 20, 40, seed=seed) * spread
        nulls = normal(39, 20, 40, seed=10_000 + seed) * spread
        found = collapse(
            *drawn, cloud, redrawn=nulls, gaussian=nulls, generator=generator(seed), draws=19
        )
        p.append(found.normed.p)
    assert sum(value <= 0.05 for value in p) / 200 < 0.115
    assert 0.42 < sum(p) / 200 < 0.58


def test_observed_and_null_are_those_of_their_definitions():
    initial, final = normal(LENGTH, DIM, seed=1), normal(LENGTH, DIM, seed=2)
    found = judged(initial, final)
    before, least = (torch.cdist(x, CLOUD).min(dim=1).values.mean() for x in (initial, final))
    assert found.moved.observed == pytest.approx(float(least - before), rel=1e-4)
    assert found.normed.observed == found.redrawn.observed == pytest.approx(float(least), rel=1e-5)
    draws = normal(99, LENGTH, DIM, seed=10_000)
    assert found.redrawn.null == pytest.approx(
        float(torch.cdist(draws.flatten(0, 1), CLOUD).min(dim=1).values.mean()), rel=1e-5
    )


def test_a_vector_that_did_not_move_has_no_effect():
    initial = normal(LENGTH, DIM, seed=1)
    found = judged(initial, initial).moved
    assert (found.observed, found.effect, found.p) == (0, 0, 1)


def test_effects_are_judged_over_runs():
    found = collapse_over_runs(torch.full((6,), -0.5) + 0.01 * normal(6), generator=generator(0))
    assert found.test.p == 2 / 64
    assert found.interval.high < 0
    nothing = collapse_over_runs(normal(20), generator=generator(0))
    assert nothing.test.p > 0.05
    assert nothing.interval.low < 0 < nothing.interval.high


def test_too_few_runs_and_draws_are_refused():
    with pytest.raises(InputError, match="5 values; expected 6"):
        collapse_over_runs(torch.ones(5), generator=generator(0))
    few = normal(18, LENGTH, DIM)
    start = normal(LENGTH, DIM)
    with pytest.raises(InputError, match="18 prompts redrawn; expected 19"):
        collapse(start, start, CLOUD, redrawn=few, gaussian=few, generator=generator(0))
