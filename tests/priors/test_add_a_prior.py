"""The prior of docs/add_a_prior.md keeps the laws that every row of PRIORS keeps."""

import math
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import promptpriors as pp
from promptpriors.priors import PRIORS, fit_prior
from promptpriors.rng import generator
from promptpriors.training.regularisers import everywhere
from promptpriors.types import Space
from tests import test_contracts as contracts

PAGE = Path(__file__).parents[2] / "docs" / "add_a_prior.md"
PARAMS = [{}, {"widen": 2.0}]


@pytest.fixture(autouse=True)
def _laplace(monkeypatch):
    """The document's block as a module of the package, with its row in the table."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    module = ModuleType("promptpriors.priors.laplace")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, PAGE.name, "exec", dont_inherit=True), module.__dict__)
    monkeypatch.setitem(PRIORS, "laplace", module.fit)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize(
    "law",
    [
        contracts.test_a_prior_is_reproducible_finite_and_sensitive_to_its_seed,
        contracts.test_a_prior_leaves_the_global_generator_alone,
        contracts.test_importance_weights_of_a_density_against_a_wider_gaussian_average_to_one,
        contracts.test_a_density_has_a_gradient_that_agrees_with_finite_differences,
        contracts.test_a_prior_is_diagnosed_beside_its_space,
    ],
    ids=lambda law: law.__name__.removeprefix("test_"),
)
def test_the_documents_prior_keeps_the_law(law, params):
    law("laplace", params)


@pytest.mark.parametrize("params", PARAMS)
def test_the_documents_prior_can_be_saved_and_loaded(params, tmp_path):
    contracts.test_a_prior_that_was_saved_and_loaded_draws_the_same_bits(
        "laplace", params, tmp_path
    )


def test_the_documents_signature_is_its_config_schema():
    contracts.test_a_priors_signature_is_its_config_schema("laplace")
    with pytest.raises(pp.InputError, match=r"widen = -1\.0"):
        fit_prior("laplace", contracts.cloud(), widen=-1.0)


def test_the_documents_prior_has_the_moments_of_a_laplace():
    space = contracts.cloud()
    draws = fit_prior("laplace", space, widen=2.0).sample(50_000, generator=generator(0)).double()
    centre = space.points.median(dim=0).values.double()
    deviation = (space.points - centre).abs().double().mean(dim=0)
    torch.testing.assert_close((draws - centre).abs().mean(dim=0), 2 * deviation, rtol=0.03, atol=0)
    torch.testing.assert_close(draws.std(dim=0), math.sqrt(8) * deviation, rtol=0.03, atol=0)


def test_the_documents_prior_refuses_a_flat_coordinate():
    points = torch.cat([contracts.cloud().points, torch.ones(400, 1)], dim=1)
    with pytest.raises(pp.InputError, match="coordinate 3 of the space at 'embed' has none"):
        fit_prior("laplace", Space("embed", points))


def test_the_documents_prior_is_finite_everywhere_as_its_checklist_asks():
    assert everywhere(fit_prior("laplace", contracts.cloud()))
