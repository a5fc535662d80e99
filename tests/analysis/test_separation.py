"""Domains on one scale, with documents as the unit, and what their words alone explain."""

import math

import pytest
import torch

from promptpriors.analysis.separation import document_points, excess, separations
from promptpriors.analysis.significance import jackknife_interval
from promptpriors.analysis.two_sample import energy_distance
from promptpriors.errors import InputError
from promptpriors.rng import generator
from promptpriors.types import Space


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "normal"))


def domain(documents, seed, shift=0.0, tokens=1, dim=1, within=1.0):
    """Documents with a mean of their own; every coordinate of a token has variance 1 + within²."""
    means = normal(documents, 1, dim, seed=2 * seed) + shift
    points = means + within * normal(documents, tokens, dim, seed=2 * seed + 1)
    groups = torch.arange(documents).repeat_interleave(tokens)
    return Space("block.1", points.flatten(0, 1), groups=groups)


def energy_of_shift(shift, deviation=1.0):
    """Energy distance of N(0, σ²) and N(shift, σ²) in one dimension: 2 E|N(shift, 2σ²)| − 4σ/√π."""
    s = deviation
    density = 2 * s / math.sqrt(math.pi) * math.exp(-(shift**2) / (4 * s**2))
    return 2 * (density + shift * math.erf(shift / (2 * s))) - 4 * s / math.sqrt(math.pi)


def test_the_separation_of_two_shifted_gaussians_is_the_closed_form():
    domains = {name: domain(1500, i, shift=2.0 * i, within=0) for i, name in enumerate("ab")}
    found = separations(domains, reference=("a", "a"), generator=generator(0), permutations=19)
    apart = found["a", "b"]
    assert apart.distance == pytest.approx(energy_of_shift(2.0), rel=0.1)
    truth = energy_of_shift(2.0) / (2 / math.sqrt(math.pi))
    assert apart.ratio.low < truth < apart.ratio.high
    assert apart.ratio.high - apart.ratio.low < 0.4
    assert apart.p == 1 / 20


@pytest.mark.slow
def test_intervals_hold_the_true_ratio_as_often_as_they_say():
    truth = energy_of_shift(2.0) / (2 / math.sqrt(math.pi))

    def held(seed):
        domains = {
            name: domain(60, 2 * seed + i, shift=2.0 * i, within=0) for i, name in enumerate("ab")
        }
        found = separations(
            domains, reference=("a", "a"), generator=generator(seed), permutations=1, blocks=12
        )
        return found["a", "b"].ratio.low <= truth <= found["a", "b"].ratio.high

    assert 0.88 < sum(map(held, range(200))) / 200 < 0.995


def test_a_pair_is_itself_on_its_own_scale():
    domains = {name: domain(40, i, shift=float(i), dim=3) for i, name in enumerate("ab")}
    found = separations(domains, reference=("a", "b"), generator=generator(0), permutations=9)
    assert list(found["a", "b"].ratio) == pytest.approx([1, 1, 1])


def test_the_ratios_are_of_the_energy_distances_themselves():
    domains = {name: domain(40, i, shift=2.0 * i, dim=3) for i, name in enumerate("abc")}
    found = separations(domains, reference=("a", "c"), generator=generator(0), permutations=9)
    scale = found["a", "c"].distance
    for pair, separation in found.items():
        expected = separation.distance / scale
        assert separation.ratio.estimate == pytest.approx(expected, rel=1e-4, abs=1e-6), pair


def test_the_jackknife_deletes_documents_as_the_general_one_does():
    a, b = domain(30, 0, dim=2), domain(30, 1, shift=1.0, dim=2)
    ours = separations(
        {"a": a, "b": b}, reference=("a", "a"), generator=generator(0), permutations=9, blocks=15
    )["a", "b"].ratio
    points = torch.cat([a.points, b.points])

    def ratio(rows):
        x, y = points[rows[rows < 30]], points[rows[rows >= 30]]
        alike = torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))
        return energy_distance(x, y) / float(alike)

    whole = jackknife_interval(ratio, torch.arange(60), generator=generator(0), blocks=60)
    assert ours.estimate == pytest.approx(whole.estimate, rel=1e-4)
    assert ours.high - ours.low == pytest.approx(whole.high - whole.low, rel=0.5)


@pytest.mark.slow
def test_halves_of_one_domain_and_domains_alike_are_not_flagged():
    p = []
    for seed in range(100):
        domains = {name: domain(20, 2 * seed + i, tokens=5, dim=3) for i, name in enumerate("ab")}
        found = separations(
            domains, reference=("a", "a"), generator=generator(seed), permutations=59
        )
        p.append([found[pair].p for pair in (("a", "a"), ("a", "b"), ("b", "b"))])
    assert (torch.tensor(p) <= 0.05).float().mean(dim=0).max() < 0.14


def test_many_tokens_of_few_documents_are_no_evidence():
    """All tokens of each document lie on one point: as points they would be told apart for sure."""
    domains = {name: domain(10, i, tokens=200, within=0.01) for i, name in enumerate("ab")}
    found = separations(domains, reference=("a", "a"), generator=generator(0))
    assert found["a", "b"].p > 0.01


def test_a_document_is_one_of_its_points_or_their_mean():
    space = domain(6, 0, tokens=4, dim=2)
    drawn = document_points(space, generator=generator(0))
    assert ((drawn[:, None] - space.points.view(6, 4, 2)).norm(dim=2) == 0).any(dim=1).all()
    means = document_points(space, generator=generator(0), means=True)
    torch.testing.assert_close(means, space.points.view(6, 4, 2).mean(dim=1))
    bare = Space("embed", space.points)
    assert torch.equal(document_points(bare, generator=generator(0)), space.points)


def test_words_alone_explain_a_separation_that_the_site_only_repeats():
    words = {name: domain(60, i, shift=2.0 * i, dim=3) for i, name in enumerate("ab")}
    turned = torch.linalg.qr(normal(3, 3)).Q
    same = {name: s._replace(points=5 * s.points @ turned) for name, s in words.items()}
    found = excess(same, words, reference=("a", "a"), generator=generator(0))["a", "b"]
    assert list(found) == pytest.approx([0, 0, 0], abs=1e-4)
    more = {name: s._replace(points=s.points + 4 * (name == "b")) for name, s in words.items()}
    found = excess(more, words, reference=("a", "a"), generator=generator(0))["a", "b"]
    assert found.low > 0


def test_what_remains_of_a_separation_is_the_ratio_of_both():
    before = {name: domain(60, i, shift=2.0 * i, dim=3) for i, name in enumerate("ab")}
    found = excess(before, before, reference=("a", "a"), generator=generator(0), quotient=True)[
        "a", "b"
    ]
    assert list(found) == pytest.approx([1, 1, 1])
    nearer = before | {"b": before["b"]._replace(points=before["b"].points - 1.5)}
    found = excess(nearer, before, reference=("a", "a"), generator=generator(0), quotient=True)[
        "a", "b"
    ]
    one, other = (
        separations(sides, reference=("a", "a"), generator=generator(0))["a", "b"].ratio.estimate
        for sides in (nearer, before)
    )
    assert found.estimate == pytest.approx(one / other)
    assert found.low < found.estimate < found.high < 1


def test_what_can_not_be_measured_is_refused():
    domains = {"c4": domain(20, 0), "squad": domain(5, 1)}
    with pytest.raises(InputError, match=r"unknown domain 'squat'\. Did you mean 'squad'"):
        separations(domains, reference=("squat", "c4"), generator=generator(0))
    with pytest.raises(InputError, match="domain 'squad' needs 8 documents, found 5"):
        separations(domains, reference=("c4", "c4"), generator=generator(0))
    with pytest.raises(InputError, match="domain 'c4' has other rows at"):
        excess(domains, {"c4": domain(21, 0)}, reference=("c4", "c4"), generator=generator(0))
