"""The dip, and what a Gaussian of equal covariance would show."""

import pytest
import torch

from promptpriors.analysis.unimodality import dip, unimodality_test
from promptpriors.errors import InputError
from promptpriors.rng import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "normal"))


def two_blobs(n, dim, apart, axis=0, seed=0):
    points = normal(n, dim, seed=seed)
    points[: n // 2, axis] += apart
    return points


def test_the_dip_knows_its_extremes():
    even = torch.arange(100.0)
    assert dip(even) == 0
    two = torch.cat([torch.linspace(0, 1e-6, 50), 1 + torch.linspace(0, 1e-6, 50)])
    assert dip(two) == pytest.approx(0.25, abs=0.01)
    assert dip(3 * two + 7) == pytest.approx(dip(two))


def test_two_blobs_are_found_along_the_first_component_and_from_mean_to_mean():
    found = unimodality_test(two_blobs(100, 8, 8.0), generator=generator(0))
    assert found.joint == 1 / 200
    assert found.p["component 1"] == found.p["two means"] == 1 / 200
    assert found.p["component 2"] > 0.05
    assert found.dips["component 1"] > 0.1


def test_two_blobs_that_no_component_parts_are_found_by_the_two_means():
    """All axes are as wide as the one with the gap, so components lie anywhere between them."""
    points = two_blobs(300, 4, 10.0)
    points[:, 1:] *= 26**0.5
    found = unimodality_test(points, generator=generator(0))
    assert found.p["two means"] == 1 / 200
    assert found.dips["two means"] > 1.5 * max(found.dips[f"component {i}"] for i in (1, 2, 3))


def test_a_gap_along_a_narrow_axis_is_out_of_sight():
    points = two_blobs(300, 8, 6.0)
    points[:, 1:] *= 30
    assert unimodality_test(points, generator=generator(0), span=6).joint > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("dim", [4, 200])
def test_one_gaussian_has_uniform_p_of_any_covariance_and_in_more_dimensions_than_points(dim):
    spread = torch.linspace(5, 0.1, dim)
    p = torch.tensor(
        [
            unimodality_test(
                normal(30, dim, seed=s) * spread, generator=generator(s), nulls=39
            ).joint
            for s in range(300)
        ]
    )
    assert float((p <= 0.05).float().mean()) < 0.101  # 300 at 0.05: + 4 deviations
    assert 0.42 < float(p.mean()) < 0.56


@pytest.mark.slow
def test_heavy_tails_with_one_hump_are_not_flagged():
    """Student's t with 3 degrees of freedom."""
    p = []
    for seed in range(100):
        scale = normal(50, 3, seed=1000 + seed).square().mean(dim=1, keepdim=True).sqrt()
        points = normal(50, 6, seed=seed) / scale
        p.append(unimodality_test(points, generator=generator(seed), nulls=39).joint)
    assert sum(value <= 0.05 for value in p) / 100 < 0.13


def test_place_and_scale_change_nothing():
    points = two_blobs(60, 5, 3.0)
    first = unimodality_test(points, generator=generator(1))
    moved = unimodality_test(100 * points - 7, generator=generator(1))
    assert moved.joint == first.joint
    assert moved.dips["component 1"] == pytest.approx(first.dips["component 1"], rel=1e-3)


def test_too_little_to_test_is_refused():
    with pytest.raises(InputError, match="3 components need 7 points, found 5"):
        unimodality_test(normal(5, 8), generator=generator(0))
    with pytest.raises(InputError, match="18 null draws; expected 19"):
        unimodality_test(normal(50, 8), generator=generator(0), nulls=18)
    with pytest.raises(InputError, match="spread in 2 alone"):
        unimodality_test(normal(50, 2) @ normal(2, 8, seed=1), generator=generator(0))
