"""Clusters agree with labels where labels are apart."""

import pytest
import torch

from promptpriors.analysis.clusters import hdbscan_agreement, silhouette
from promptpriors.errors import InputError
from promptpriors.rng import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "normal"))


def test_labels_of_far_blobs_agree_with_what_is_found_and_random_ones_do_not():
    labels = torch.arange(3).repeat_interleave(40)
    points = normal(120, 2) + 20 * torch.eye(3)[labels][:, :2] - 20 * (labels == 2)[:, None].float()
    found = hdbscan_agreement(points, labels)
    assert (found.clusters, found.rand) == (3, pytest.approx(1, abs=0.1))
    assert silhouette(points, labels) > 0.8
    random = labels[torch.randperm(120, generator=generator(0))]
    assert abs(hdbscan_agreement(points, random).rand) < 0.06
    assert silhouette(points, random) < 0.05


def test_what_can_not_be_clustered_is_refused():
    with pytest.raises(InputError, match="two labels"):
        silhouette(normal(5, 2), torch.zeros(5).long())
    with pytest.raises(InputError, match="clusters of 10 points and more can't be found in 5"):
        hdbscan_agreement(normal(5, 2), torch.zeros(5).long())
