"""Moments merge as if the clouds had been one, and neighbours are those of brute force."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.geometry import Moments, merge, moments, neighbour_distance
from promptpriors.rng import generator
from tests.helpers import cloud

SIZES = st.integers(1, 12)
SEEDS = st.integers(0, 2**32)


def points(n, dim, seed, place=0.0):
    """Rows of float64, ``place`` away from the origin."""
    stream = generator(seed, "points", n)
    return torch.randn(n, dim, generator=stream, dtype=torch.float64) + place


def together(parts, weights):
    """Mean, covariance and count of all rows, from the definition."""
    whole, shares = torch.cat(parts), torch.cat(weights)[:, None]
    mean = (shares * whole).sum(dim=0) / shares.sum()
    centred = whole - mean
    return Moments(mean, (shares * centred).T @ centred / shares.sum(), float(shares.sum()))


@given(n=SIZES, m=SIZES, dim=st.integers(1, 6), seed=SEEDS, far=st.floats(0, 1e4))
def test_merged_moments_are_those_of_the_clouds_together(n, m, dim, seed, far):
    parts = [points(n, dim, seed), points(m, dim, seed + 1, far)]
    found = merge(*map(moments, parts))
    expected = together(parts, [torch.ones(len(part)).double() for part in parts])
    assert found.count == n + m
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-12, atol=1e-12 * (1 + far))
    torch.testing.assert_close(
        found.covariance, expected.covariance, rtol=1e-10, atol=1e-12 * (1 + far**2)
    )


@given(n=SIZES, m=SIZES, dim=st.integers(1, 6), seed=SEEDS)
def test_merged_moments_are_those_of_the_weighted_clouds_together(n, m, dim, seed):
    parts = [points(n, dim, seed), points(m, dim, seed + 1, 3.0)]
    weights = [torch.rand(len(part), generator=generator(seed, "weights")) + 0.1 for part in parts]
    found = merge(*(moments(p, weights=w) for p, w in zip(parts, weights, strict=True)))
    expected = together(parts, [weight.double() for weight in weights])
    assert found.count == pytest.approx(expected.count)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-10, atol=1e-10)


@given(sizes=st.lists(SIZES, min_size=2, max_size=5), seed=SEEDS)
def test_the_order_of_merging_does_not_matter(sizes, seed):
    parts = [moments(points(n, 3, seed + i, float(i))) for i, n in enumerate(sizes)]
    forwards, backwards = parts[0], parts[-1]
    for part in parts[1:]:
        forwards = merge(forwards, part)
    for part in reversed(parts[:-1]):
        backwards = merge(part, backwards)
    torch.testing.assert_close(forwards, backwards, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_moments_do_not_depend_on_the_chunk(chunk):
    space = cloud(4, 50)
    for weights in (None, space.weights):
        expected = moments(space.points, weights=weights)
        found = moments(space.points, weights=weights, chunk=chunk)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_integer_weights_count_copies():
    space = cloud(3, 20)
    copies = space.points.repeat_interleave(space.weights.long(), dim=0)
    torch.testing.assert_close(moments(space.points, weights=space.weights), moments(copies))


@given(n=SIZES, m=SIZES, k=st.integers(1, 12), chunk=st.integers(1, 5), seed=SEEDS)
def test_neighbour_distances_are_those_of_brute_force(n, m, k, chunk, seed):
    queries, rows = points(n, 4, seed), points(m + k - 1, 4, seed + 1)
    found = neighbour_distance(queries, rows, k=k, chunk=chunk)
    expected = (queries[:, None] - rows).norm(dim=2).sort(dim=1).values[:, k - 1]
    torch.testing.assert_close(found, expected)


@given(n=SIZES, k=st.integers(1, 4), seed=SEEDS)
def test_a_point_that_is_excluded_is_no_neighbour(n, k, seed):
    rows = points(n + k, 3, seed)
    own = torch.arange(len(rows))
    found = neighbour_distance(rows, rows, k=k, exclude=own, chunk=3)
    apart = (rows[:, None] - rows).norm(dim=2).fill_diagonal_(torch.inf)
    torch.testing.assert_close(found, apart.sort(dim=1).values[:, k - 1])


def test_a_small_distance_far_from_the_origin_is_exact_in_float32():
    rows = torch.randn(200, 64, generator=generator(0)) + 1000
    queries = rows[:20] + 0.01
    found = neighbour_distance(queries, rows)
    expected = (queries.double() - rows[:20].double()).norm(dim=1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)
