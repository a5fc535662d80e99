"""Laws of single priors that are known exactly: radii, moments, regions, transport."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2, ks_2samp

from promptpriors.geometry import moments, neighbour_distance
from promptpriors.priors import fit_prior
from promptpriors.priors.exclusion import AffineExclusion, Exclusion
from promptpriors.priors.gaussian import Gaussian
from promptpriors.priors.shell import crossing, log_mass, radii_beyond
from promptpriors.rng import generator
from promptpriors.types import Density, Space
from tests.helpers import cloud

BALANCED = "c^(2/d)"
"""The default k, for which the two densities' ratio at the mean is c = 5."""


def standard(dim, k):
    """Exclusion about N(0, I), not fitted to anything."""
    factor = 5.0 ** (2 / dim) if k == BALANCED else k
    core = Gaussian(torch.zeros(dim).double(), torch.eye(dim).double())
    return Exclusion(core, factor, crossing(dim, factor), 0.0)


def rejected(dim, k, n, seed=7):
    """Radii of draws of N(0, kI) accepted with max(0, 1 − pdf/pdf_wide), one after another."""
    stream, kept, count = np.random.default_rng(seed), [], 0
    while count < n:
        squares = (stream.standard_normal((20_000, dim)) ** 2).sum(axis=1) * k
        ratio = np.exp(dim / 2 * math.log(k) - squares * (1 - 1 / k) / 2)
        kept.append(np.sqrt(squares[stream.random(len(squares)) < 1 - ratio]))
        count += len(kept[-1])
    return np.concatenate(kept)[:n]


def gaussians(dim=4):
    """Two Gaussians fitted to clouds of different place, size and correlation."""
    far = cloud(dim).points.flip(1) * 0.4 - 3
    return fit_prior("gaussian", cloud(dim)), fit_prior("gaussian", Space("embed", far))


def sigma(prior):
    return prior.factor @ prior.factor.T


def drawn(prior, n=100_000, seed=5):
    return prior.sample(n, generator=generator(seed)).double()


@pytest.mark.parametrize("dim", [2, 16, 64])
@pytest.mark.parametrize("k", [BALANCED, 1.5, 5.0])
def test_exact_draws_of_exclusion_have_the_radii_of_rejection(dim, k):
    prior = standard(dim, k)
    exact = drawn(prior, 10_000).norm(dim=1).numpy()
    assert ks_2samp(exact, rejected(dim, prior.k, 10_000)).pvalue > 0.01


@pytest.mark.parametrize(("dim", "share"), [(576, 0.038), (2048, 0.020)])
def test_the_default_hardly_leaves_a_hole_in_many_dimensions(dim, share):
    prior = standard(dim, BALANCED)
    ordinary = math.sqrt(chi2(dim).median())
    assert prior.report()["acceptance"] == pytest.approx(share, abs=0.0005)
    assert 1 < prior.report()["radius_median"] / ordinary < 1.05


def test_acceptance_is_the_share_that_rejection_accepts():
    prior = standard(16, BALANCED)
    squares = chi2(16).rvs(200_000, random_state=3) * prior.k
    ratio = np.exp(8 * math.log(prior.k) - squares * (1 - 1 / prior.k) / 2)
    share, expected = prior.report()["acceptance"], np.maximum(0, 1 - ratio)
    assert share == pytest.approx(expected.mean(), abs=5 * expected.std() / math.sqrt(200_000))


def test_outside_draws_beyond_heavy_tailed_data():
    stream = generator(0, "student")
    chi = torch.randn(5000, 3, generator=stream).square().mean(dim=1, keepdim=True).sqrt()
    points = torch.randn(5000, 32, generator=stream) / chi  # t with 3 degrees of freedom
    space = Space("embed", points)
    core = fit_prior("gaussian", space)
    radii = core.radius(points.double())
    shares = {}
    for name, params in {"plain": {}, "outside": {"outside": 0.999}}.items():
        draws = drawn(fit_prior("exclusion", space, **params), 1000)
        shares[name] = float((radii > core.radius(draws).min()).double().mean())
    assert shares["outside"] <= 0.001
    assert shares["plain"] > 0.01


def test_radii_far_in_the_tail_are_ordered_and_beyond_the_least():
    dim, k, far = 2048, 1.002, 400.0
    shares = np.array([0.9, 0.5, 0.1])
    radii = radii_beyond(dim, k, far, shares)
    assert (np.diff([far, *radii]) > 0).all()
    left = log_mass(dim, k, radii) - log_mass(dim, k, np.array([far]))
    np.testing.assert_allclose(np.exp(left), shares, rtol=1e-8)


@pytest.mark.parametrize("params", [{}, {"outside": 0.9}])
def test_exclusion_of_few_points_stays_in_their_span_and_has_no_density(params):
    points = cloud(dim=9, n=6).points
    prior = fit_prior("exclusion", Space("embed", points), k=2.0, **params)
    assert isinstance(prior, AffineExclusion)
    assert not isinstance(prior, Density)
    draws = drawn(prior, 500)
    mean = points.double().mean(dim=0)
    basis = torch.linalg.qr((points.double() - mean)[:5].T).Q
    centred = draws - mean
    torch.testing.assert_close(centred @ basis @ basis.T, centred, rtol=0, atol=1e-5)
    assert prior.core.rank == 5
    assert float(prior.core.radius(draws).min()) > prior.inner * (1 - 1e-6)


def test_interpolation_has_the_mean_and_covariance_of_the_formula():
    one, two = gaussians()
    found = moments(drawn(fit_prior("interpolation", cloud(4), first=one, second=two), 400_000))
    apart = one.mean - two.mean
    expected = (sigma(one) + sigma(two)) / 3 + torch.outer(apart, apart) / 12
    size = float(expected.diagonal().max())
    torch.testing.assert_close(found.mean, (one.mean + two.mean) / 2, rtol=0, atol=0.01 * size)
    torch.testing.assert_close(found.covariance, expected, rtol=0, atol=0.015 * size)


@pytest.mark.parametrize(("narrower", "nats"), [(1, 1e-8), (20, 1e-4)])
def test_the_density_of_interpolation_does_not_change_with_more_nodes(narrower, nats):
    one, two = gaussians(16)
    two = replace(two, factor=two.factor / narrower)
    prior = fit_prior("interpolation", cloud(16), first=one, second=two)
    x = drawn(prior, 200)
    finer = replace(prior, nodes=1024).log_prob(x)
    torch.testing.assert_close(prior.log_prob(x), finer, rtol=0, atol=nats)
    assert (replace(prior, nodes=8).log_prob(x) - finer).abs().max() > 1e-2


def test_a_mixture_has_the_moments_of_its_parts():
    one, two = gaussians()
    found = moments(
        drawn(fit_prior("mixture", cloud(4), first=one, second=two, weight=0.3), 400_000)
    )
    apart = one.mean - two.mean
    mean = 0.3 * one.mean + 0.7 * two.mean
    expected = 0.3 * sigma(one) + 0.7 * sigma(two) + 0.21 * torch.outer(apart, apart)
    size = float(expected.diagonal().max())
    torch.testing.assert_close(found.mean, mean, rtol=0, atol=0.01 * size)
    torch.testing.assert_close(found.covariance, expected, rtol=0, atol=0.015 * size)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def transport(one, two):
    """Wasserstein-2 distance of two Gaussians."""
    half = root(sigma(one))
    cross = root(half @ sigma(two) @ half)
    spread = torch.trace(sigma(one) + sigma(two) - 2 * cross)
    return float(((one.mean - two.mean).square().sum() + spread).clamp_min(0).sqrt())


def between(weight):
    one, two = gaussians()
    return fit_prior("barycentre", cloud(4), first=one, second=two, weight=weight)


@pytest.mark.parametrize(("weight", "end"), [(1 - 1e-12, 0), (1e-12, 1)])
def test_a_barycentre_of_all_weight_on_one_side_is_that_side(weight, end):
    found, expected = between(weight), gaussians()[end]
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.factor, expected.factor, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.9])
def test_a_barycentre_divides_the_transport_distance_by_its_weight(weight):
    one, two = gaussians()
    found, whole = between(weight), transport(*gaussians())
    assert transport(one, found) == pytest.approx((1 - weight) * whole, rel=1e-6)
    assert transport(found, two) == pytest.approx(weight * whole, rel=1e-6)


@pytest.mark.parametrize("params", [{}, {"candidates": "gaussian", "low": 1.2, "high": 2.0}])
def test_low_density_draws_lie_within_the_stated_multiples(params):
    space = cloud(8, 2000)
    prior = fit_prior("low_density", space, **params)
    draws = prior.sample(500, generator=generator(0))
    own = neighbour_distance(space.points, space.points, k=10, exclude=torch.arange(2000)).median()
    multiples = torch.cdist(draws, space.points).topk(10, largest=False).values[:, -1] / own
    assert float(multiples.min()) > params.get("low", 1.0) - 1e-4
    assert float(multiples.max()) < params.get("high", 1.5) + 1e-4
    candidates = prior.candidates(4000, generator(1))
    distances = neighbour_distance(candidates, space.points, k=10) / own
    share = ((distances >= prior.low) & (distances <= prior.high)).double().mean()
    assert prior.report()["acceptance"] == pytest.approx(float(share), abs=0.05)


@pytest.mark.parametrize("method", [{"clusters": 2}, {"method": "hdbscan"}])
@pytest.mark.parametrize("draw", ["points", "gaussian"])
@pytest.mark.parametrize("chosen", [0, 1])
def test_cluster_draws_from_the_chosen_blob_alone(method, draw, chosen):
    points = torch.randn(500, 6, generator=generator(0, "blobs"))
    points[:200] += 30  # the smaller, so number 1
    prior = fit_prior("cluster", Space("embed", points), draw=draw, chosen=[chosen], **method)
    draws = prior.sample(300, generator=generator(0))
    far = (draws.mean(dim=1) > 15).double().mean()
    assert float(far) == chosen
    assert prior.report()["clusters"] == 2
    assert prior.report()["share_of_points"] == pytest.approx(0.4 if chosen else 0.6, abs=0.05)


def test_contiguous_points_are_consecutive_rows_of_one_example():
    groups = torch.tensor([0] * 7 + [1] * 5 + [2] * 9)
    positions = torch.tensor([*range(7), *range(5), *range(4), *range(6, 11)])  # a gap in the last
    points = torch.stack([groups, torch.arange(21)], dim=1).float()
    prior = fit_prior(
        "points", Space("final", points, groups=groups, positions=positions), contiguous=True
    )
    starts = set()
    for seed in range(200):
        rows = prior.sample(4, generator=generator(seed))[:, 1].long()
        assert (rows.diff() == 1).all()
        assert (positions[rows].diff() == 1).all()
        assert len(groups[rows].unique()) == 1
        starts.add(int(rows[0]))
    assert starts == {0, 1, 2, 3, 7, 8, 12, 16, 17}


def test_a_posterior_draws_whole_prompts_in_order():
    groups = torch.tensor([3, 8, 3, 8, 3, 5])  # runs of 3, 2 and 1 vectors, mixed up
    points = torch.stack([groups, torch.arange(6)], dim=1).float()
    prior = fit_prior("posterior", Space("embed", points, groups=groups), draw="prompt")
    found = {
        tuple(prior.sample(4, generator=generator(seed))[:, 1].long().tolist())
        for seed in range(60)
    }
    assert found == {(0, 2, 4, 0), (1, 3, 1, 3), (5, 5, 5, 5)}
