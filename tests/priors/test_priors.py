"""Moments and special cases of single priors, where the answer is known."""

import pytest
import torch
from sklearn.covariance import OAS, LedoitWolf

import promptpriors as pp
from promptpriors.geometry import rms
from promptpriors.priors import fit_prior
from promptpriors.rng import generator
from promptpriors.types import Density, Space
from tests.helpers import cloud


def draws(prior, n=60_000):
    return prior.sample(n, generator=generator(5)).double()


def test_isotropic_has_the_papers_spread_unless_told_to_match():
    assert float(draws(fit_prior("isotropic", cloud())).std()) == pytest.approx(0.02, rel=0.01)
    matched = fit_prior("isotropic", cloud(), sigma="match")
    assert rms(draws(matched)) == pytest.approx(rms(cloud().points), rel=0.01)


def test_xavier_has_glorots_variance_for_its_length():
    for kind in ("uniform", "normal"):
        prior = fit_prior("xavier", cloud(), distribution=kind, length=5)
        assert float(draws(prior).var()) == pytest.approx(2 / (5 + 3), rel=0.02)


def test_a_fitted_gaussian_has_the_clouds_mean_and_covariance():
    points = cloud().points.double()
    found = draws(fit_prior("gaussian", cloud()), 200_000)
    torch.testing.assert_close(found.mean(0), points.mean(0), rtol=0.02, atol=0.05)
    torch.testing.assert_close(torch.cov(found.T), torch.cov(points.T), rtol=0.05, atol=0.1)


def test_a_diagonal_gaussian_forgets_the_correlations():
    covariance = torch.cov(draws(fit_prior("gaussian", cloud(), covariance="diag")).T)
    expected = torch.diag(cloud().points.double().var(0))
    torch.testing.assert_close(covariance, expected, rtol=0.05, atol=0.2)


@pytest.mark.parametrize(("name", "estimator"), [("ledoit-wolf", LedoitWolf), ("oas", OAS)])
def test_shrinkage_is_scikit_learns(name, estimator):
    points = cloud(dim=6, n=20).points
    prior = fit_prior("gaussian", Space("embed", points), shrinkage=name)
    expected = torch.tensor(estimator().fit(points.double().numpy()).covariance_)
    torch.testing.assert_close(prior.factor @ prior.factor.T, expected, rtol=1e-6, atol=1e-8)


def test_with_few_points_a_full_gaussian_stays_in_their_span_and_has_no_density():
    points = cloud(dim=6, n=4).points
    prior = fit_prior("gaussian", Space("embed", points))
    assert not isinstance(prior, Density)
    centred = prior.sample(50, generator=generator(0)) - points.mean(0)
    assert int(torch.linalg.matrix_rank(centred.double(), rtol=1e-5)) == 3
    shrunk = fit_prior("gaussian", Space("embed", points), shrinkage="oas")
    assert isinstance(shrunk, Density)


def test_a_flat_cloud_has_no_density_though_it_has_many_points():
    points = torch.cat([cloud().points, torch.zeros(400, 2)], dim=1)
    for covariance in ("full", "diag"):
        prior = fit_prior("gaussian", Space("embed", points), covariance=covariance)
        assert not isinstance(prior, Density)
        assert draws(prior, 10)[:, 3:].abs().max() < 1e-6


def test_vocabulary_draws_real_rows_and_only_frequent_ones_when_asked():
    space = cloud()
    rows = {tuple(row) for row in space.points.tolist()}
    prior = fit_prior("vocabulary", space)
    assert {tuple(row) for row in prior.sample(50, generator=generator(0)).tolist()} <= rows
    frequent = fit_prior("vocabulary", space, most_frequent=2).sample(50, generator=generator(0))
    assert {tuple(r) for r in frequent.tolist()} == {tuple(r) for r in space.points[-2:].tolist()}


def test_text_repeats_or_cuts_its_rows():
    space = cloud()
    expected = space.points[[97, 98, 99, 97, 98]]
    assert torch.equal(
        fit_prior("text", space, text="abc").sample(5, generator=generator(0)), expected
    )
    assert torch.equal(
        fit_prior("text", space, text="abc").sample(2, generator=generator(0)), expected[:2]
    )


def test_matched_takes_the_spaces_size_and_with_moments_its_mean():
    points = cloud().points
    by_size = fit_prior("matched", cloud(), prior={"name": "isotropic"})
    assert rms(draws(by_size)) == pytest.approx(rms(points), rel=0.03)
    by_moments = draws(fit_prior("matched", cloud(), prior="xavier", match="moments"))
    torch.testing.assert_close(by_moments.mean(0), points.double().mean(0), rtol=0.05, atol=0.15)
    spread, expected = rms(by_moments - by_moments.mean(0)), rms(points - points.mean(0))
    assert spread == pytest.approx(expected, rel=0.03)


def test_priors_nest_by_config_and_by_object():
    inner = fit_prior("gaussian", cloud())
    a = fit_prior("matched", cloud(), prior={"name": "gaussian"})
    b = fit_prior("matched", cloud(), prior=inner)
    assert torch.equal(a.sample(3, generator=generator(0)), b.sample(3, generator=generator(0)))


@pytest.mark.parametrize(
    ("name", "space", "params", "message"),
    [
        ("gausian", cloud(), {}, "unknown prior 'gausian'. Did you mean 'gaussian'?"),
        ("gaussian", cloud(), {"covarince": "diag"}, "Did you mean 'covariance'?"),
        ("gaussian", cloud(), {"covariance": "dia"}, "'full' or 'diag'"),
        ("gaussian", cloud(), {"covariance": "diag", "shrinkage": "oas"}, "goes with covariance"),
        ("gaussian", cloud(n=1), {}, "at least two points"),
        ("isotropic", cloud(), {"sigma": -1.0}, "sigma"),
        ("isotropic", cloud(), {"sigma": float("nan")}, "sigma"),
        ("isotropic", Space("embed", torch.zeros(4, 2)), {"sigma": "match"}, "equal point 0"),
        ("vocabulary", cloud()._replace(weights=None), {"most_frequent": 3}, "needs a space with"),
        ("vocabulary", cloud(), {"most_frequent": 400}, "only 399 rows occur"),
        ("text", cloud()._replace(encode=None), {"text": "a"}, "needs a vocabulary"),
        ("text", cloud(), {"text": ""}, "no tokens"),
        ("text", cloud(), {}, "needs the parameter 'text'"),
        ("matched", cloud(), {"prior": {"name": "nothing"}}, "unknown prior 'nothing'"),
        ("matched", cloud(), {"prior": 3}, "must be a prior"),
        ("xavier", Space("embed", torch.zeros(0, 2)), {}, "has no points"),
        ("exclusion", Space("embed", torch.ones(4, 2)), {}, "all 4 points"),
        ("exclusion", cloud(), {"k": 1 + 1e-15}, "too close to 1"),
        ("barycentre", cloud(), {"first": "gaussian", "second": "points"}, "found Points"),
        ("low_density", cloud(n=10), {}, "Take fewer neighbours"),
        ("low_density", cloud(), {"low": 50.0, "high": 60.0}, "90 % of them between"),
        ("cluster", cloud(), {"chosen": [8]}, "Points by cluster: 0: "),
        ("points", cloud()._replace(groups=None), {"contiguous": True}, "the order of their texts"),
        ("posterior", cloud()._replace(groups=None), {}, "space = 'runs:DIR'"),
    ],
)
def test_a_bad_prior_is_refused_with_a_word_on_what_to_do(name, space, params, message):
    with pytest.raises(pp.InputError) as error:
        fit_prior(name, space, **params)
    assert message in str(error.value)
