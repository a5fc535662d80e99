"""What finals keep of starts."""

import pytest
import torch

from promptpriors.analysis.memory import memory
from promptpriors.errors import InputError
from promptpriors.rng import generator


def prompts(runs, seed, length=3, dim=4):
    return torch.randn(runs, length, dim, generator=generator(seed, "prompts"))


def test_finals_that_are_starts_are_all_memory():
    starts = prompts(8, 0)
    found = memory(starts, starts, generator=generator(0))
    assert (found.share, found.slope) == (pytest.approx(1), pytest.approx(1))
    assert found.p == 1 / 1000


def test_a_common_displacement_and_a_scale_change_nothing_but_the_slope():
    starts = prompts(8, 0)
    found = memory(starts, 0.5 * starts + prompts(1, 1), generator=generator(0))
    assert (found.share, found.slope) == (pytest.approx(1), pytest.approx(0.5))


def test_noise_of_equal_variance_halves_the_share():
    starts = prompts(500, 0)
    found = memory(starts, starts + prompts(500, 1), generator=generator(0), permutations=19)
    assert found.share == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_independent_finals_keep_one_part_in_the_degrees_of_freedom_and_p_is_uniform():
    found = [
        memory(prompts(6, 2 * s), prompts(6, 2 * s + 1), generator=generator(s), permutations=99)
        for s in range(400)
    ]
    shares, p = (
        torch.tensor(values) for values in ([f.share for f in found], [f.p for f in found])
    )
    assert float(shares.mean()) == pytest.approx(1 / (5 * 3 * 4), rel=0.3)
    assert 0.01 < float((p <= 0.05).float().mean()) < 0.095
    assert 0.44 < float(p.mean()) < 0.56


def test_few_runs_are_permuted_in_every_way():
    """Of the 24 orders of four runs only the true one gives all back."""
    starts = prompts(4, 0)
    for seed in (0, 1):
        assert memory(starts, starts, generator=generator(seed)).p == 1 / 24


def test_runs_that_do_not_differ_have_no_memory():
    same = prompts(1, 0).expand(5, -1, -1)
    assert tuple(memory(same, prompts(5, 1), generator=generator(0))) == (0, 0, 1)
    assert tuple(memory(prompts(5, 1), same, generator=generator(0))) == (0, 0, 1)


def test_three_runs_are_too_few():
    with pytest.raises(InputError, match=r"with 3 runs; expected 4 at least"):
        memory(prompts(3, 0), prompts(3, 1), generator=generator(0))
