"""How far a prompt moved and could have moved, where between two centres points lie, and radii."""

import pytest
import torch

from promptpriors.analysis.location import between, kept, mahalanobis, reach, reach_ratio
from promptpriors.geometry import moments
from promptpriors.rng import generator


def cloud(seed, n=20, dim=64):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + 3.0


def test_a_start_that_did_not_move_is_kept_whole_and_a_fresh_one_not_at_all():
    centre = torch.full((64,), 3.0)
    assert kept(cloud(0), cloud(0), centre) == pytest.approx(1.0)
    assert abs(kept(cloud(0), cloud(1), centre)) < 4 / (20 * 64) ** 0.5


def test_what_all_draws_share_counts_for_nothing():
    centre = torch.full((64,), 3.0)
    assert kept(cloud(0), cloud(1), torch.zeros(64)) > 0.8  # the common mean
    assert abs(kept(cloud(0), cloud(1), centre)) < 0.15


def test_lengths_do_not_matter_but_directions_do():
    centre = torch.zeros(64)
    start = cloud(0) - 3.0
    assert kept(start, 5 * start, centre) == pytest.approx(1.0)
    assert kept(start, -start, centre) == pytest.approx(-1.0)
    half = torch.cat([start[:10], -start[10:]])
    assert kept(start, half, centre) == pytest.approx(0.0, abs=1e-6)


def test_a_start_at_the_centre_has_no_direction():
    assert kept(torch.ones(2, 8), torch.zeros(2, 8), torch.ones(8)) is None


def test_places_between_centres():
    first, second = torch.zeros(4), torch.tensor([2.0, 0, 0, 0])
    points = torch.tensor([[1.0, 7, -3, 2], [2.0, -7, 3, 0]])
    assert between(points, first, second) == pytest.approx(0.75)
    assert between(first[None], first, second) == 0
    assert between(second[None], first, second) == 1


def test_no_run_of_adam_moves_a_vector_farther_than_its_reach():
    start = torch.zeros(1, 16)
    vector = torch.nn.Parameter(start.clone())
    rates = [0.1] * 30
    optimiser = torch.optim.Adam([vector], lr=0.1)
    for _ in rates:
        optimiser.zero_grad()
        (vector - 100).square().sum().backward()
        optimiser.step()
    moved = float((vector.detach() - start).norm())
    assert 0.9 * reach(rates, 16) < moved <= 1.0001 * reach(rates, 16)


def test_the_ratio_is_reach_over_distance():
    cloud = torch.tensor([[3.0, 4.0], [30.0, 40.0]])
    assert abs(reach_ratio([1.0], torch.zeros(1, 2), cloud) - 2**0.5 / 5) < 1e-6
    assert reach_ratio([1.0], cloud, cloud) == float("inf")


def test_radii_of_a_gaussian_are_about_one_whatever_its_covariance():
    stream = generator(0)
    points = torch.randn(4000, 20, generator=stream) @ torch.randn(20, 20, generator=stream) + 3
    found = moments(points)
    radii = mahalanobis(points, found.mean, found.covariance)
    assert abs(float(radii.square().mean()) - 1) < 1e-3
    assert float(radii.std()) < 0.2
