"""Reach is what Adam can do, and radii are what a Gaussian's are."""

import pytest
import torch

from promptpriors.analysis.reach import mahalanobis, reach, reach_ratio
from promptpriors.geometry import moments
from promptpriors.rng import generator


@pytest.mark.slow
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
