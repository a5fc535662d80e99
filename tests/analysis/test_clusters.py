"""Clusters agree with labels where labels are apart, and equal words do not separate."""

import pytest
import torch

from promptpriors.analysis.clusters import common_tokens, hdbscan_agreement, silhouette
from promptpriors.analysis.two_sample import energy_distance
from promptpriors.errors import InputError
from promptpriors.rng import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "normal"))


def test_common_tokens_pair_up_type_by_type():
    first, second = torch.tensor([5, 7, 5, 9, 5, 2]), torch.tensor([2, 5, 5, 8, 2, 2, 7])
    found = common_tokens(first, second, generator=generator(0))
    assert first[found.first].tolist() == second[found.second].tolist() == [2, 5, 5, 7]
    assert len(set(found.first.tolist())) == len(set(found.second.tolist())) == 4
    chosen = {
        tuple(common_tokens(first, second, generator=generator(s))[0].tolist()) for s in range(40)
    }
    assert len(chosen) == 6  # two of three fives, in either order
    nothing = common_tokens(first, torch.tensor([1, 3]), generator=generator(0))
    assert nothing.first.tolist() == nothing.second.tolist() == []


def test_words_used_alike_do_not_separate_once_their_numbers_are_equal():
    """Each type has its own place; the domains differ in how often they use it."""
    places = 10 * normal(20, 3)
    first = torch.multinomial(torch.arange(1.0, 21), 6000, True, generator=generator(0))
    second = torch.multinomial(torch.arange(20.0, 0, -1), 6000, True, generator=generator(1))
    a, b = (places[ids] + normal(6000, 3, seed=i) for i, ids in enumerate((first, second)))
    rows = common_tokens(first, second, generator=generator(2))
    assert energy_distance(a, b) > 0.3
    assert abs(energy_distance(a[rows.first], b[rows.second])) < 0.1


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
