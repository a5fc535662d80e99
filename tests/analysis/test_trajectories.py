"""Paths against shuffled tokens and random points."""

import pytest
import torch

from promptpriors.analysis.trajectories import localisation, paths_of, spread, step_length
from promptpriors.errors import InputError
from promptpriors.rng import generator
from promptpriors.types import Space


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "normal"))


def straight(time, dim=3):
    return torch.arange(float(time))[:, None] * torch.ones(dim) / dim**0.5


def test_a_straight_walk_has_its_own_step_and_spread():
    walk = straight(101)
    assert float(step_length(walk)) == pytest.approx(1, rel=1e-5)
    assert float(spread(walk)) == pytest.approx(((101**2 - 1) / 12) ** 0.5, rel=1e-5)
    assert torch.allclose(step_length(torch.stack([walk, 2 * walk])), torch.tensor([1.0, 2.0]))


def test_a_straight_walk_has_a_third_of_its_length_as_shuffled_step():
    """Two different points of n on a line lie (n + 1)/3 apart on average."""
    walks = [straight(41) for _ in range(8)]
    found = localisation(walks, {}, generator=generator(0), draws=50).step["shuffled"]
    assert found.ratio == pytest.approx(3 / 42, rel=0.02)
    assert found.test.p == 2 / 2**8
    assert found.ratios.tolist() == pytest.approx([3 / 42] * 8, rel=0.1)


def test_paths_within_one_of_two_far_groups_are_narrower_than_the_pool():
    """Between groups 100 apart a random path spreads 50, within one √3."""
    pool = normal(2000, 3)
    pool[1000:] += torch.tensor([100.0, 0, 0])
    paths = [normal(30, 3, seed=s) for s in range(10)]
    found = localisation(paths, {"unigram": pool}, generator=generator(0))
    assert found.spread["unigram"].ratio == pytest.approx(3**0.5 / 50, rel=0.1)
    assert found.step["unigram"].ratio < 0.1
    assert found.step["unigram"].test.p == 2 / 2**10
    assert 0.9 < found.step["shuffled"].ratio < 1.1


@pytest.mark.slow
def test_random_paths_are_not_flagged():
    pool = normal(3000, 2).mul(2).exp()
    p = []
    for seed in range(120):
        rows = torch.randint(3000, (8, 10), generator=generator(seed, "rows"))
        found = localisation(list(pool[rows]), {"pool": pool}, generator=generator(seed), draws=5)
        p.append([found.step["shuffled"].test.p, found.step["pool"].test.p])
        p[-1].append(found.spread["pool"].test.p)
    share = (torch.tensor(p) <= 0.05).float().mean(dim=0)
    assert (share < 0.13).all()  # 120 at 0.05: + 4 deviations
    assert 0.4 < float(torch.tensor(p).mean()) < 0.6


def test_paths_and_pools_may_differ_in_length():
    paths = [normal(20 + s, 3, seed=s) for s in range(12)]
    pools = {"near": normal(50, 3, seed=20), "far": normal(60, 3, seed=21)}
    found = localisation(paths, pools, generator=generator(0))
    assert set(found.step) == {"shuffled", "near", "far"}
    assert all(0.7 < against.ratio < 1.4 for against in found.step.values())


def test_copies_of_a_documents_paths_are_no_more_evidence():
    paths = [normal(20, 3, seed=s).cumsum(0) for s in range(7)]
    copied = [path for path in paths for _ in range(5)]
    documents = torch.arange(7).repeat_interleave(5)
    found = localisation(copied, {}, generator=generator(0), documents=documents)
    assert found.step["shuffled"].test.p == 2 / 2**7
    with pytest.raises(InputError, match="expected 6 at least"):
        localisation(copied, {}, generator=generator(0), documents=documents // 2)


def test_paths_are_the_stretches_of_consecutive_tokens_of_one_document():
    groups = torch.tensor([0] * 4 + [1] * 6 + [1] * 3)
    positions = torch.tensor([1, 2, 3, 4, 5, 6, 7, 2, 3, 4, 9, 10, 11])
    points = torch.arange(13.0)[:, None]
    found = paths_of(Space("embed", points, groups=groups, positions=positions), least=3)
    assert [p[:, 0].tolist() for p in found.paths] == [
        [0, 1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
        [10, 11, 12],
    ]
    assert found.documents.tolist() == [0, 1, 1, 1]
    longer = paths_of(Space("embed", points, groups=groups, positions=positions), least=4)
    assert longer.documents.tolist() == [0]


def test_what_has_no_paths_is_refused():
    with pytest.raises(InputError, match="document and position"):
        paths_of(Space("embed", normal(5, 2)))
    space = Space("embed", normal(5, 2), groups=torch.arange(5), positions=torch.ones(5).long())
    with pytest.raises(InputError, match="no 8 points"):
        paths_of(space)
    with pytest.raises(InputError, match="3 points at least"):
        localisation([normal(2, 2)] * 9, {}, generator=generator(0))
    still = [normal(9, 2, seed=s) for s in range(8)]
    still[3] = torch.ones(9, 2)
    with pytest.raises(InputError, match=r"path 3 .* one point repeated"):
        localisation(still, {}, generator=generator(0))
