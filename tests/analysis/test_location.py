"""How much of a start is left, and where between two centres points lie."""

import pytest
import torch

from promptpriors.analysis.location import between, kept


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
