"""The map stays: the same for the same seed; clusters stay apart, later points join their own."""

import pytest
import torch

import promptpriors as pp
from promptpriors.analysis.tsne import fit_tsne
from promptpriors.rng import generator


def blobs(n, seed):
    stream = generator(seed)
    points = torch.randn(2 * n, 60, generator=stream)
    points[n:] += 8
    return points


@pytest.fixture(scope="module")
def fitted():
    return fit_tsne(blobs(100, 0))


@pytest.mark.slow
def test_two_clusters_stay_two(fitted):
    first, second = fitted.coordinates.split(100)
    apart = (first.mean(dim=0) - second.mean(dim=0)).norm()
    assert float(torch.cdist(first, first).max()) < 2.5 * float(apart)
    assert float(torch.cdist(first, second).min()) > 0


def test_later_points_are_placed_beside_their_own_and_move_nothing(fitted):
    before = fitted.coordinates.clone()
    placed = fitted.place(blobs(10, 1))
    centres = torch.stack([part.mean(dim=0) for part in fitted.coordinates.split(100)])
    nearest = torch.cdist(placed, centres).argmin(dim=1)
    assert torch.equal(nearest, torch.arange(2).repeat_interleave(10))
    assert torch.equal(before, fitted.coordinates)
    assert fitted.place(torch.empty(0, 60)).shape == (0, 2)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_map(fitted):
    assert torch.equal(fit_tsne(blobs(100, 0)).coordinates, fitted.coordinates)


def test_too_few_points_are_refused():
    with pytest.raises(pp.InputError, match="needs 90 points, found 20"):
        fit_tsne(blobs(10, 0))
