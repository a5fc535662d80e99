"""The plane of largest variance."""

import pytest
import torch
from sklearn.decomposition import PCA

from promptpriors.analysis import projection
from promptpriors.analysis.projection import fit_plane, project


@pytest.fixture
def points():
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(3.0, 0.1, 20)
    return 5 + spread * torch.randn(500, 20, generator=generator)


def test_it_agrees_with_scikit_learn_up_to_the_sign(points):
    plane = fit_plane(points)
    theirs = PCA(n_components=2, svd_solver="full").fit(points.double().numpy())
    ours = torch.from_numpy(theirs.components_)
    cosines = (plane.components * ours).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(plane.mean, torch.from_numpy(theirs.mean_))
    shares = torch.from_numpy(theirs.explained_variance_ratio_)
    torch.testing.assert_close(plane.explained, shares)


def test_coordinates_have_mean_zero_and_the_explained_share_of_the_variance(points):
    plane = fit_plane(points)
    seen = project(points, plane.mean, plane.components)
    torch.testing.assert_close(seen.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    share = seen.var(0) / points.var(0).sum()
    torch.testing.assert_close(share, plane.explained.float())
    assert abs(float((seen[:, 0] * seen[:, 1]).mean())) < 1e-5


def test_directions_are_orthonormal_and_their_largest_coordinate_is_positive(points):
    for cloud in (points, -points, points.flip(1)):
        directions = fit_plane(cloud).components
        torch.testing.assert_close(directions @ directions.T, torch.eye(2, dtype=torch.float64))
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        assert (largest > 0).all()


def test_the_size_of_the_chunks_changes_nothing(points, monkeypatch):
    whole = fit_plane(points)
    monkeypatch.setattr(projection, "CHUNK", 7)
    for one, other in zip(whole, fit_plane(points), strict=True):
        torch.testing.assert_close(one, other)


def test_a_point_on_the_plane_is_where_its_coordinates_say(points):
    plane = fit_plane(points)
    there = plane.mean + torch.tensor([2.0, -3.0], dtype=torch.float64) @ plane.components
    seen = project(there[None], plane.mean, plane.components)
    torch.testing.assert_close(seen, torch.tensor([[2.0, -3.0]]))
