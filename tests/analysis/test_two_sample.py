"""Two samples: energy distance, its permutation test, and what a classifier can tell."""

import pytest
import torch

from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import (
    classifier_auc,
    energy_distance,
    one_per_group,
    permutation_test,
)
from promptpriors.rng import generator


def normal(n, seed, dim=5):
    return torch.randn(n, dim, generator=generator(seed, "normal"))


def documents(count, tokens, seed, dim=8):
    """Points of documents, each with a mean of its own, and their groups."""
    stream = generator(seed, "documents")
    means = 2 * torch.randn(count, 1, dim, generator=stream)
    points = means + torch.randn(count, tokens, dim, generator=stream)
    return points.flatten(0, 1), torch.arange(count).repeat_interleave(tokens)


def test_energy_distance_is_its_definition_over_pairs_of_different_points():
    x, y = normal(7, 0).double(), normal(9, 1).double() + 1
    between = torch.stack([(a - b).norm() for a in x for b in y]).mean()
    within = [
        torch.stack([(a - b).norm() for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
        for z in (x, y)
    ]
    expected = float(2 * between - within[0].mean() - within[1].mean())
    assert energy_distance(x, y) == pytest.approx(expected, rel=1e-5)
    assert energy_distance(x, y, chunk=2) == pytest.approx(expected, rel=1e-5)
    assert energy_distance(y, x) == pytest.approx(expected, rel=1e-5)


def test_energy_distance_is_zero_on_average_for_one_distribution():
    found = torch.tensor(
        [energy_distance(normal(50, 2 * i), normal(60, 2 * i + 1)) for i in range(60)]
    )
    assert abs(float(found.mean())) < 3 * float(found.std()) / 60**0.5
    assert (found < 0).any()


def test_the_permutation_tests_statistic_is_the_energy_distance():
    x, y = normal(40, 0), normal(30, 1) + 0.2
    found = permutation_test(x, y, generator=generator(0), permutations=19)
    assert found.statistic == pytest.approx(energy_distance(x, y), rel=1e-4)
    again = permutation_test(x, y, generator=generator(0), permutations=19)
    assert again == found


def test_p_values_are_uniform_under_the_null_and_least_for_other_distributions():
    p = torch.tensor(
        [
            permutation_test(
                normal(25, 2 * i), normal(25, 2 * i + 1), generator=generator(i), permutations=99
            ).p
            for i in range(200)
        ]
    )
    assert 0.02 < float((p <= 0.1).float().mean()) < 0.19  # 200 tests at 0.1: ± 4 deviations
    assert 0.4 < float(p.mean()) < 0.6
    moved = permutation_test(normal(40, 0), normal(40, 1) + 1, generator=generator(0))
    assert moved.p == pytest.approx(1 / 1000)


def test_one_row_of_each_group_is_drawn_at_random():
    points, groups = documents(30, 4, 0)
    rows = one_per_group(points, groups, generator=generator(0))
    assert torch.equal(groups[rows], torch.arange(30))
    other = one_per_group(points, groups, generator=generator(1))
    assert not torch.equal(rows, other)
    places = torch.cat(
        [one_per_group(points, groups, generator=generator(s)) % 4 for s in range(40)]
    )
    assert torch.bincount(places).min() > 200  # of 1,200 draws among four tokens


@pytest.mark.slow
def test_a_classifier_can_not_tell_documents_of_one_kind_and_can_tell_moved_ones():
    x, groups = documents(200, 10, 0)
    y, others = documents(200, 10, 1)
    alike = classifier_auc(x, y, groups, others, generator=generator(0), points=1000)
    assert 0.4 < alike.median < 0.6
    assert len(alike.values) == 5
    apart = classifier_auc(x, y + 4, groups, others, generator=generator(0), points=1000)
    assert apart.median > 0.85


@pytest.mark.slow
def test_a_classifier_that_saw_the_documents_would_be_fooled():
    """Split by token, it knows the documents again: the reason why splits go by group."""
    x, groups = documents(30, 40, 0)
    y, others = documents(30, 40, 1)
    by_token = classifier_auc(x, y, None, None, generator=generator(0)).median
    by_document = classifier_auc(x, y, groups, others, generator=generator(0)).median
    assert by_token > by_document + 0.15


def test_effective_rank_counts_directions_alike_after_standardising():
    points = normal(20_000, 0, dim=6)
    assert effective_rank(points) == pytest.approx(6, rel=0.01)
    stretched = points * torch.tensor([100.0, 1, 1, 1, 1, 1])
    assert effective_rank(stretched) < 1.1
    assert effective_rank(stretched, scale=scale_of(stretched)) == pytest.approx(6, rel=0.01)
    flat = points[:, :2] @ normal(2, 1, dim=6)
    assert effective_rank(flat) <= 2
    assert effective_rank(torch.ones(5, 3)) == 0
