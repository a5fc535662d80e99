"""A diagnosis tells a prior that equals its space from one that does not, and in which way."""

import math

import pytest
import torch

import promptpriors as pp
from promptpriors.geometry import rms
from promptpriors.priors import fit_prior
from promptpriors.priors.gaussian import Gaussian
from promptpriors.priors.mixture import Mixture
from promptpriors.rng import generator
from promptpriors.types import Space
from tests.helpers import cloud

DIM = 6
LEAST = 1 / 1000
"""The p-value of a statistic that none of 999 relabellings reaches."""


def normal(place=0.0, size=1.0):
    """N(place, size² I), not fitted to anything."""
    eye = torch.eye(DIM, dtype=torch.float64)
    return Gaussian(torch.full((DIM,), place, dtype=torch.float64), size * eye)


def drawn(seed, n=400):
    return Space("embed", normal().sample(n, generator=generator(seed, "space")))


class Fixed:
    """The first rows of a list, whatever the generator."""

    def __init__(self, rows):
        self.rows = rows

    def sample(self, n, *, generator):
        return self.rows[:n]


def runs(prompts=30, length=8, dim=3):
    """Prompts whose vectors resemble each other; the first vector of each is moved."""
    stream = generator(0, "runs")
    values = torch.randn(prompts, 1, dim, generator=stream) * 3
    values = values + 0.1 * torch.randn(prompts, length, dim, generator=stream)
    values[:, 0] += 8
    groups = torch.arange(prompts).repeat_interleave(length)
    positions = torch.arange(length).repeat(prompts)
    return Space("embed", values.flatten(0, 1), groups=groups, positions=positions)


@pytest.mark.slow
def test_a_prior_that_equals_its_space_is_not_told_from_it():
    found = [pp.diagnose(normal(), drawn(seed), draws=200, seed=seed) for seed in range(20)]
    assert sum(one["p"] > 0.01 for one in found) >= 18
    assert max(one["p"] for one in found) > 0.5
    energies, halves = (torch.tensor([o[k] for o in found]) for k in ("energy", "energy_space"))
    typical = float(halves.abs().median())
    assert typical / 2 < float(energies.abs().median()) < 2 * typical
    for values in (energies, halves):  # unbiased: on average nothing
        assert abs(float(values.mean())) < 3 * float(values.std()) / math.sqrt(20)
    assert all(0.85 < one["rms"] < 1.15 for one in found)
    assert all(0.9 < one["radius"] < 1.1 for one in found)
    assert all(0.8 < one["effective_rank"] / one["effective_rank_space"] < 1.25 for one in found)


@pytest.mark.parametrize("other", [normal(place=1.0), normal(size=2.0), normal(size=0.5)])
def test_a_prior_elsewhere_or_of_another_size_has_the_least_p(other):
    found = pp.diagnose(other, drawn(0), draws=200)
    assert found["p"] == LEAST
    assert found["energy"] > 5 * abs(found["energy_space"])


def test_the_ratio_of_sizes_is_that_of_the_root_mean_squares():
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0], [0.0, 5.0]])
    space = Space("embed", torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    found = pp.diagnose(Fixed(rows), space, draws=4)
    assert found["rms"] == pytest.approx(math.sqrt((25 + 100 + 25) / 8) / math.sqrt(4 / 8))


@pytest.mark.slow
def test_a_radius_is_relative_to_the_typical_one_of_the_spaces_gaussian():
    near, far = (pp.diagnose(normal(size=size), drawn(0, 4000)) for size in (1.0, 3.0))
    assert far["radius"] / near["radius"] == pytest.approx(3, rel=0.05)


def test_a_diagnosis_is_reproducible_and_depends_on_its_seed():
    first, again, other = (pp.diagnose(normal(), drawn(0), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["energy"] != other["energy"]


def test_what_a_prior_reports_of_itself_stands_in_its_diagnosis():
    prior = fit_prior("exclusion", cloud(), k=2.0)
    found = pp.diagnose(prior, cloud(), draws=50)
    assert prior.report().items() <= found.items()


@pytest.mark.parametrize(
    "prior",
    [
        fit_prior("posterior", runs(), draw="prompt"),
        fit_prior("points", runs(), contiguous=True),
        Mixture((fit_prior("posterior", runs(), draw="prompt"),), (1.0,)),
    ],
    ids=["prompts", "stretches", "inside another"],
)
def test_vectors_that_belong_together_are_drawn_prompt_by_prompt(prior):
    found = [pp.diagnose(prior, runs(), draws=240, length=8, seed=seed) for seed in range(10)]
    alone = [pp.diagnose(fit_prior("points", runs()), runs(), draws=240, seed=s) for s in range(10)]
    assert sum(one["p"] > 0.01 for one in found) >= 9
    for name in ("rms", "effective_rank", "radius"):
        means = [sum(one[name] for one in some) / 10 for some in (found, alone)]
        assert means[0] == pytest.approx(means[1], rel=0.1)


def test_a_prompt_longer_than_any_stretch_is_refused():
    with pytest.raises(pp.InputError, match="no example has 20 consecutive points"):
        pp.diagnose(fit_prior("points", runs(), contiguous=True), runs())


def test_a_few_groups_allow_no_test():
    space = cloud()._replace(groups=torch.arange(400) // 200)
    found = pp.diagnose(fit_prior("gaussian", space), space, draws=100)
    assert found["p"] is None
    assert found["energy_space"] is None
    assert found["energy"] is not None


@pytest.mark.slow
def test_points_of_one_group_count_once_in_the_test():
    stream = generator(0, "groups")
    centres = torch.randn(12, 1, DIM, generator=stream)
    points = (centres + 0.01 * torch.randn(12, 200, DIM, generator=stream)).flatten(0, 1)
    groups = torch.arange(12).repeat_interleave(200)
    by_group = pp.diagnose(normal(), Space("final", points, groups=groups))
    by_point = pp.diagnose(normal(), Space("final", points))
    assert by_group["p"] > 0.01
    assert by_point["p"] == LEAST


@pytest.mark.parametrize("points", [torch.zeros(10, 4), torch.ones(1, 3)])
def test_a_space_of_another_width_or_of_one_point_is_refused(points):
    with pytest.raises(pp.InputError, match="expected at least two of the prior's 3"):
        pp.diagnose(fit_prior("isotropic", cloud()), Space("embed", points))


def test_a_space_of_zeros_has_no_ratio_and_no_radius():
    space = Space("embed", torch.zeros(10, 3))
    found = pp.diagnose(fit_prior("isotropic", cloud()), space, draws=20)
    assert found["rms"] is None
    assert found["radius"] is None
    assert rms(space.points) == 0
