"""A readout that finds what was planted, and nothing where nothing is."""

import math

import pytest
import torch

import promptpriors as pp
from promptpriors.analysis.readout import holm, read_out
from promptpriors.geometry import rms
from promptpriors.rng import generator

DIM, ROWS, LENGTH = 48, 2000, 20


def normal(*shape, seed):
    return torch.randn(*shape, generator=generator(seed, "normal"))


def heavy_rows():
    """Like a vocabulary: off the origin, stretched, more peaked than a Gaussian."""
    spread = torch.linspace(0.3, 2, DIM)
    size = 0.5 + torch.rand(ROWS, 1, generator=generator(0, "size"))
    return spread * size * normal(ROWS, DIM, seed=1) + 0.4


def gaussian(rows):
    return pp.fit_prior("gaussian", pp.Space("embed", rows))


def draws(prior, count, seed):
    return prior.sample(count, generator=generator(seed, "draws"))


@pytest.fixture(scope="module")
def cloud():
    rows = heavy_rows()
    prior = gaussian(rows)
    return rows, prior, draws(prior, 1999, 99)


def noisy(rows, chosen, noise, seed=5):
    """Chosen rows with isotropic noise, its size in units of the rows' root mean square."""
    return rows[chosen] + noise * rms(rows) * normal(len(chosen), rows.shape[1], seed=seed)


def recovered(vectors, chosen, rows, nulls):
    """Shares of planted rows that are read, and read as what they are."""
    found = read_out(vectors, rows, nulls)
    return float(found.read.float().mean()), float(
        (found.read & (found.rows == chosen)).float().mean()
    )


def test_planted_rows_are_recovered_less_and_less_as_noise_grows(cloud):
    rows, _, nulls = cloud
    chosen = torch.arange(0, ROWS, ROWS // LENGTH)[:LENGTH]
    rates = [
        recovered(noisy(rows, chosen, noise), chosen, rows, nulls) for noise in (0, 0.3, 0.8, 2, 8)
    ]
    assert rates[0] == rates[1] == (1, 1)
    assert 0.2 < rates[2][1] < 1
    assert rates[-1] == (0, 0)
    right = [rate for _, rate in rates]
    assert right == sorted(right, reverse=True)


@pytest.mark.slow
def test_of_random_draws_no_more_is_read_than_the_level_says(cloud):
    rows, prior, _ = cloud
    level, prompts = 0.1, 300
    false = 0
    for seed in range(prompts):
        nulls = draws(prior, 399, 1000 + seed)
        false += bool(read_out(draws(prior, LENGTH, seed), rows, nulls, level).read.any())
    assert false / prompts <= level + 3 * math.sqrt(level * (1 - level) / prompts)
    assert false > 0  # a test that never reads would pass too


def test_the_p_values_of_random_draws_are_uniform(cloud):
    rows, prior, nulls = cloud
    found = read_out(draws(prior, 1000, 7), rows, nulls, level=1.0)
    for share in (0.1, 0.5, 0.9):
        assert float((found.p <= share).float().mean()) == pytest.approx(share, abs=0.05)


def test_isotropic_vectors_are_not_read(cloud):
    rows, _, nulls = cloud
    found = read_out(normal(LENGTH, DIM, seed=3), rows, nulls)
    assert not found.read.any()
    assert float(found.p.min()) > 0.01


def test_length_does_not_matter(cloud):
    rows, _, nulls = cloud
    vectors = noisy(rows, torch.arange(LENGTH), 0.5)
    found, larger = read_out(vectors, rows, nulls), read_out(30 * vectors, 3 * rows, nulls / 7)
    assert torch.equal(found.rows, larger.rows)
    assert torch.equal(found.read, larger.read)
    torch.testing.assert_close(found.cosine, larger.cosine)


def test_the_nearest_row_its_cosine_and_margin_are_by_hand():
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    nulls = torch.tensor([[1.0, -1.0]]).repeat(39, 1)
    found = read_out(torch.tensor([[0.0, 5.0], [-1.0, -1.0]]), rows, nulls)
    half = math.sqrt(0.5)
    assert found.rows.tolist()[0] == 1
    torch.testing.assert_close(found.cosine, torch.tensor([1.0, -half]))
    torch.testing.assert_close(found.margin, torch.tensor([1 - half, 0.0]))
    assert found.p.tolist() == [1 / 40, 1]
    assert found.adjusted.tolist() == [2 / 40, 1]
    assert found.read.tolist() == [True, False]


def test_holm_multiplies_the_least_by_all_and_never_lets_a_larger_one_overtake():
    p = torch.tensor([0.02, 0.01, 0.022, 0.9], dtype=torch.float64)
    torch.testing.assert_close(holm(p), torch.tensor([0.06, 0.04, 0.06, 0.9], dtype=p.dtype))
    assert holm(torch.full((3,), 0.6)).tolist() == [1, 1, 1]


def test_too_few_nulls_to_read_anything_are_refused(cloud):
    rows, _, nulls = cloud
    with pytest.raises(pp.InputError, match=r"398 nulls .* expected at least 399 nulls") as error:
        read_out(rows[:LENGTH], rows, nulls[:398])
    assert str(error.value).count("\n") <= 1
    assert read_out(rows[:LENGTH], rows, nulls[:399]).read.all()
    with pytest.raises(pp.InputError, match="and 2 rows"):
        read_out(rows[:2], rows[:1], nulls)


TEXT = (
    "The river ran past the old mill, where children came in summer to swim and to watch the wheel."
)


@pytest.mark.slow
def test_on_the_embedded_vocabulary_a_text_is_read_and_random_vectors_are_not(smollm2):
    space = pp.vocabulary(smollm2)
    rows, prior = space.points, gaussian(space.points)
    nulls = draws(prior, 999, 99)
    text = torch.tensor(space.encode(TEXT))[:LENGTH]
    assert recovered(rows[text], text, rows, nulls) == (1, 1)
    assert recovered(noisy(rows, text, 0.5), text, rows, nulls)[1] > 0.5
    assert recovered(noisy(rows, text, 4), text, rows, nulls)[0] == 0
    fresh = read_out(draws(prior, LENGTH, 3), rows, nulls)
    assert not fresh.read.any()
    assert float(fresh.cosine.mean()) > 0.5  # near to rows, and still none
    isotropic = read_out(rms(rows) * normal(LENGTH, rows.shape[1], seed=3), rows, nulls)
    assert not isotropic.read.any()
