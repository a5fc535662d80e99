"""The autoencoder does not collapse, and neither repeats its points nor leaves them."""

import pytest
import torch

from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import energy_distance
from promptpriors.geometry import neighbour_distance
from promptpriors.priors import fit_prior
from promptpriors.rng import generator
from promptpriors.types import Space


def blobs(n, seed, dim=8):
    """Two clusters of unequal spread: no Gaussian."""
    stream = generator(seed, "blobs")
    points = torch.randn(n, dim, generator=stream)
    points[: n // 2] = points[: n // 2] * 0.3 + 4
    return points


@pytest.mark.train
def test_draws_are_nearer_to_held_out_points_than_the_gaussians():
    space, held = Space("embed", blobs(2000, 0)), blobs(1000, 1)
    vae, normal = (fit_prior("vae", space, epochs=250), fit_prior("gaussian", space))
    draws, others = (prior.sample(1000, generator=generator(2)) for prior in (vae, normal))
    assert energy_distance(draws, held) < energy_distance(others, held) / 2


@pytest.mark.train
def test_decoder_means_are_as_wide_as_the_data_and_draws_are_no_copies():
    points, held = blobs(2000, 0), blobs(500, 1)
    vae = fit_prior("vae", Space("embed", points), epochs=150)
    scale = scale_of(points)
    wide = effective_rank(vae.means(1000, generator=generator(0)), scale=scale)
    assert 0.8 < wide / effective_rank(points, scale=scale) < 1.25
    own = neighbour_distance(held, points).median()
    normal = fit_prior("gaussian", Space("embed", points))
    near, far = (
        float(neighbour_distance(prior.sample(500, generator=generator(3)), points).median() / own)
        for prior in (vae, normal)
    )
    assert 0.5 < near < far
    assert vae.report()["active"] == 8


@pytest.mark.slow
def test_points_that_lie_very_far_out_do_not_break_the_training():
    points = blobs(2000, 0)
    points[::100] *= 200
    draws = fit_prior("vae", Space("embed", points)).sample(500, generator=generator(0))
    assert torch.isfinite(draws).all()


def test_points_in_a_plane_stay_in_it():
    points = torch.cat([blobs(500, 0, 4), torch.ones(500, 2)], dim=1)
    draws = fit_prior("vae", Space("embed", points)).sample(50, generator=generator(0))
    torch.testing.assert_close(draws[:, 4:], torch.ones(50, 2))
