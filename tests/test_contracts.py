"""Laws that hold for every row of a table; a new row is tested without being named here."""

import math

import pytest
import torch
from scipy.stats import chi, kstest

import promptpriors as pp
from promptpriors.models import MODELS
from promptpriors.packing import encode
from promptpriors.priors import PRIORS
from promptpriors.prompts import MODES
from promptpriors.prompts.losses import packed_losses
from promptpriors.registry import choose
from promptpriors.rng import generator
from promptpriors.types import Density, Elliptical, Prior
from tests.helpers import EXAMPLES, REQUIRED, VARIANTS, cloud, drawn, fitted
from tests.literal import literal_losses

DETERMINISTIC = {"text"}
NO_DENSITY = [
    ("text", {}),
    ("vocabulary", {}),
    ("points", {}),
    ("low_density", {}),
    ("vae", {}),
    ("cluster", {"draw": "points"}),
    ("posterior", {"draw": "points"}),
    ("posterior", {"draw": "prompt"}),
    ("interpolation", {"second": "xavier"}),
    ("mixture", {"second": "vocabulary"}),
]
"""Priors without density: a name and the parameters for which that holds."""


def has_density(name, params):
    """Whether a variant should be a density."""
    filled = {"draw": "points"} if name == "cluster" else {}
    given = filled | params
    return not any(
        name == other and needed.items() <= given.items() for other, needed in NO_DENSITY
    )


variants = pytest.mark.parametrize(
    ("name", "params"), VARIANTS, ids=[f"{n}-{'-'.join(map(str, p.values()))}" for n, p in VARIANTS]
)


@variants
def test_a_prior_is_reproducible_finite_and_sensitive_to_its_seed(name, params):
    prior = fitted(name, params)
    first, again, other = (prior.sample(7, generator=generator(seed)) for seed in (1, 1, 2))
    assert isinstance(prior, Prior)
    assert first.shape == (7, 3)
    assert first.dtype == torch.float32
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name in DETERMINISTIC)


@variants
def test_a_prior_leaves_the_global_generator_alone(name, params):
    before = torch.get_rng_state()
    fitted(name, params).sample(5, generator=generator(0))
    assert torch.equal(before, torch.get_rng_state())


@variants
def test_importance_weights_of_a_density_against_a_wider_gaussian_average_to_one(name, params):
    prior = fitted(name, params)
    assert isinstance(prior, Density) == has_density(name, params)
    if not isinstance(prior, Density):
        return
    draws = prior.sample(4000, generator=generator(3)).double()
    mean = draws.mean(dim=0)
    mixing = torch.linalg.cholesky(2.25 * torch.cov(draws.T))
    wide = torch.distributions.MultivariateNormal(mean, scale_tril=mixing)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = wide.sample((40_000,))
    weights = (prior.log_prob(x.float()).double() - wide.log_prob(x)).exp()
    error = float(weights.std() / math.sqrt(len(weights)))
    assert float(weights.mean()) == pytest.approx(1, abs=5 * error)
    assert error < 0.05


@variants
def test_a_prior_that_was_saved_and_loaded_draws_the_same_bits(name, params, tmp_path):
    prior = fitted(name, params)
    loaded = pp.load_prior(pp.save_prior(prior, tmp_path / "prior"))
    assert type(loaded) is type(prior)
    draws = prior.sample(7, generator=generator(1))
    assert torch.equal(loaded.sample(7, generator=generator(1)), draws)
    if isinstance(prior, Density):
        assert isinstance(loaded, Density)
        assert torch.equal(loaded.log_prob(draws), prior.log_prob(draws))


@variants
def test_a_density_has_a_gradient_that_agrees_with_finite_differences(name, params):
    prior = fitted(name, params)
    if not isinstance(prior, Density):
        return
    x = prior.sample(3, generator=generator(4)).double().requires_grad_()
    prior.log_prob(x).sum().backward()
    for i in range(3):
        step = torch.zeros(3, 3, dtype=torch.float64)
        step[:, i] = 1e-6
        with torch.no_grad():
            change = (prior.log_prob(x + step) - prior.log_prob(x - step)) / 2e-6
        kept = torch.isfinite(change) & (change.abs() < 1e4)  # a step across an edge is no slope
        assert kept.any()
        torch.testing.assert_close(x.grad[kept, i], change[kept], rtol=1e-3, atol=1e-4)


@variants
def test_the_radii_of_an_elliptical_priors_draws_are_its_own(name, params):
    prior = fitted(name, params)
    if isinstance(prior, Elliptical):
        radii = prior.radius(prior.sample(20_000, generator=generator(6)).double())
        assert kstest(radii.numpy(), chi(prior.rank).cdf).pvalue > 1e-3


@variants
def test_a_prior_is_diagnosed_beside_its_space(name, params):
    space = cloud()._replace(encode=None)
    found = pp.diagnose(fitted(name, params), space, draws=128)
    assert found["energy"] is not None
    assert 0 < found["p"] <= 1
    assert all(value is None or math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("name", PRIORS)
def test_a_priors_signature_is_its_config_schema(name):
    choice = choose("prior", PRIORS, {"name": name, **REQUIRED.get(name, {})})
    assert "generator" not in choice.params
    with pytest.raises(pp.InputError, match="has no parameter 'nonsense'"):
        choose("prior", PRIORS, {"name": name, **REQUIRED.get(name, {}), "nonsense": 1})


def both(backbone, prompt):
    """Losses and gradients, packed, and padded with every prompt row literally in place."""
    found = []
    for method in (packed_losses, literal_losses):
        prompt.zero_grad(set_to_none=True)
        nats = method(backbone, prompt, encode(backbone, EXAMPLES)).nats
        if prompt.length:
            nats.mean().backward()
        found.append((nats.detach(), [value.grad.clone() for value in prompt.parameters()]))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_loss_and_gradient_of_the_packed_tree_equal_the_padded_rectangles(tiny, mode):
    (packed, gradients), (padded, expected) = both(tiny, drawn(tiny, mode))
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_same_holds_on_the_embedded_model(smollm2, mode):
    (packed, gradients), (padded, expected) = both(smollm2, drawn(smollm2, mode))
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_with_an_empty_prompt_a_backbone_equals_plain_hugging_face(name):
    backbone = pp.load_model(name)
    for example in EXAMPLES[:5]:
        source = [i for piece in example.source for i in backbone.encode(piece)]
        target = [*backbone.encode(f" {example.targets[0]}"), backbone.end]
        ids = torch.tensor([source + target])
        labels = torch.tensor([[-100] * len(source) + target])
        if backbone.seq2seq:
            ids, labels = torch.tensor([[*source, backbone.end]]), torch.tensor([target])
        with torch.no_grad():
            expected = backbone.model(input_ids=ids, labels=labels).loss
        for empty in (None, drawn(backbone, "none")):
            torch.testing.assert_close(pp.loss(backbone, empty, [example]), expected)


def test_training_changes_nothing_but_the_prompt(tiny):
    prompt = drawn(tiny, "soft")
    weights = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    start = prompt.snapshot()["embed"]
    task = pp.Task("toy", 1, {"train": EXAMPLES, "validation": EXAMPLES}, lambda *_: {})
    assert len(list(pp.train(tiny, prompt, task, steps=3, batch=4, lr=0.1))) == 4
    assert not torch.equal(start, prompt.snapshot()["embed"])
    assert all(torch.equal(weights[k], v) for k, v in tiny.model.state_dict().items())
    assert all(weight.grad is None for weight in tiny.model.parameters())
