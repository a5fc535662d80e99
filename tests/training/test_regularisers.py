"""Regularisers: their gradients, their weight, where they lead, and what they refuse."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import promptpriors as pp
from promptpriors.packing import encode
from promptpriors.priors import PRIORS, fit_prior
from promptpriors.prompts import token_losses
from promptpriors.rng import generator
from promptpriors.training import REGULARISERS, Progress, Regulariser, regularise
from promptpriors.training.regularisers import EVERYWHERE, everywhere
from promptpriors.types import Elliptical, Space
from tests.helpers import EXAMPLES, VARIANTS, cloud, drawn, fitted

DIM = 6


@dataclass(frozen=True)
class Ball:
    """N(0, σ²I) with its radius."""

    rank: int
    sigma: float = 1.0

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.rank, generator=generator) * self.sigma

    def log_prob(self, x: Tensor) -> Tensor:
        constant = self.rank * math.log(2 * math.pi * self.sigma**2) / 2
        return -self.radius(x).square() / 2 - constant

    def radius(self, x: Tensor) -> Tensor:
        return (x / self.sigma).norm(dim=1)


@dataclass(frozen=True)
class Holed(Ball):
    """The same with nothing within half the typical radius."""

    def log_prob(self, x: Tensor) -> Tensor:
        hole = self.radius(x) < math.sqrt(self.rank) / 2
        return super().log_prob(x).masked_fill(hole, -math.inf)


def prompt_of(*sites, length=4, seed=0):
    stream = generator(seed, "prompt")
    values = {site: torch.randn(length, DIM, generator=stream) for site in sites or ("embed",)}
    return pp.Prompt("deep" if len(values) > 1 else "soft", values)


def vocabulary():
    return Space("embed", torch.randn(40, DIM, generator=generator(0, "rows")).double())


def built(name, prompt=None, **more):
    points = {"embed": vocabulary()}
    given = {"prompt": prompt or prompt_of(), "priors": Ball(DIM), "points": points}
    return regularise(name, **given | more)


def energy(regulariser, *values, targets=1):
    return regulariser.penalty(
        dict(zip(("embed", "block.1"), values, strict=False)), targets=targets
    )


def moved(prompt, by=0.3):
    """Values near a prompt's, in float64."""
    stream = generator(1, "moved")
    return [
        (v.detach().double() + by * torch.randn(v.shape, generator=stream)).requires_grad_()
        for v in prompt.values.values()
    ]


@pytest.mark.parametrize("name", REGULARISERS)
def test_a_penalty_has_the_gradient_of_its_finite_differences(name):
    prompt = prompt_of("embed", "block.1")
    regulariser = built(name, prompt)
    assert torch.autograd.gradcheck(lambda *v: energy(regulariser, *v), moved(prompt))


@pytest.mark.parametrize("name", REGULARISERS)
def test_strength_is_a_factor_and_densities_are_shared_among_the_targets(name):
    prompt = prompt_of("embed", "block.1")
    values = moved(prompt)
    one, three = (built(name, prompt, strength=s) for s in (1.0, 3.0))
    torch.testing.assert_close(energy(three, *values), 3 * energy(one, *values))
    share = 10 if name in {"map", "shell", "start"} else 1
    torch.testing.assert_close(
        energy(one, *values, targets=10) * share, energy(one, *values, targets=1)
    )


def test_map_and_start_are_negative_log_densities_up_to_a_constant():
    prompt = prompt_of("embed", "block.1")
    normal = torch.distributions.Normal
    here, there = moved(prompt, 0.3), moved(prompt, 0.9)
    found = energy(built("map", prompt), *here) - energy(built("map", prompt), *there)
    expected = [sum(normal(0, 1).log_prob(v).sum() for v in values) for values in (there, here)]
    torch.testing.assert_close(found, expected[0] - expected[1])
    regulariser = built("start", prompt)
    starts = [value.detach().double() for value in prompt.values.values()]
    sizes = [float(value.square().mean().sqrt()) for value in starts]
    found = energy(regulariser, *here) - energy(regulariser, *there)
    expected = [
        sum(normal(v, s).log_prob(x).sum() for v, s, x in zip(starts, sizes, values, strict=True))
        for values in (there, here)
    ]
    torch.testing.assert_close(found, expected[0] - expected[1])
    assert float(energy(regulariser, *starts)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 6, 500])
def test_shell_is_minus_the_log_of_the_chi_density_with_its_minimum_at_root_rank_less_one(rank):
    regulariser = built("shell", prompt_of(length=1), priors=Ball(rank))
    direction = torch.nn.functional.normalize(torch.ones(1, rank, dtype=torch.float64))

    def at(radius):
        return float(energy(regulariser, radius * direction))

    assert at(math.sqrt(rank - 1) or 1e-9) == pytest.approx(0, abs=1e-9)
    assert min(at(0.5 * math.sqrt(rank)), at(2 * math.sqrt(rank))) > 0.05
    chi2 = torch.distributions.Chi2(torch.tensor(float(rank), dtype=torch.float64))
    radii = torch.tensor([0.7, 1.9], dtype=torch.float64) * math.sqrt(rank)
    log_density = chi2.log_prob(radii.square()) + (2 * radii).log()
    difference = at(float(radii[0])) - at(float(radii[1]))
    assert difference == pytest.approx(float(log_density[1] - log_density[0]))


def test_repulsion_is_the_mean_cosine_to_the_nearest_rows():
    space = vocabulary()
    (values,) = moved(prompt_of())
    cosines = torch.cosine_similarity(values[:, None], space.points[None], dim=2)
    expected = cosines.sort(dim=1, descending=True).values[:, :3].mean()
    found = energy(built("repulsion", points={"embed": space}, neighbours=3, strength=1.0), values)
    torch.testing.assert_close(found, expected)


def test_repulsion_looks_at_the_sites_that_have_points_and_averages_over_them():
    prompt = prompt_of("embed", "block.1")
    values = moved(prompt)
    alone = energy(built("repulsion", prompt), *values)
    alone.backward()
    assert values[0].grad.abs().max() > 0
    assert values[1].grad is None
    other = Space("block.1", torch.randn(40, DIM, generator=generator(1, "rows")).double())
    there = energy(built("repulsion", prompt, points={"block.1": other}), *values)
    both = {"embed": vocabulary(), "block.1": other}
    found = energy(built("repulsion", prompt, points=both), *values)
    torch.testing.assert_close(found, (alone + there) / 2)


def descend(regulariser, values, steps=300, rate=0.02):
    values = values.clone().requires_grad_()
    optimiser = torch.optim.Adam([values], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        energy(regulariser, values).backward()
        optimiser.step()
    return values.detach()


def test_repulsion_leads_away_from_the_rows():
    rows = vocabulary()
    start = rows.points[:4].clone()
    end = descend(built("repulsion", pp.Prompt("soft", {"embed": start}), strength=1.0), start)
    best = torch.cosine_similarity(end[:, None], rows.points[None], dim=2).max(dim=1).values
    assert float(best.max()) < 0.9


def test_diversity_is_the_mean_squared_cosine_of_pairs_and_zero_for_a_right_angle():
    values = torch.tensor([[2.0, 0], [0, 3.0], [1.0, 1.0]], dtype=torch.float64)
    regulariser = built("diversity", strength=1.0)
    assert float(energy(regulariser, values)) == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert float(energy(regulariser, values[:2])) == 0
    assert float(energy(regulariser, values, values[:2])) == pytest.approx(1 / 6)


def test_diversity_spreads_near_twins_and_says_nothing_to_exact_ones():
    twins = torch.ones(2, DIM, dtype=torch.float64, requires_grad=True)
    regulariser = built("diversity", pp.Prompt("soft", {"embed": twins}), strength=1.0)
    energy(regulariser, twins).backward()
    assert twins.grad.abs().max() < 1e-12
    near = twins.detach() + 0.01 * torch.eye(2, DIM)
    end = descend(regulariser, near)
    assert abs(float(torch.cosine_similarity(end[0], end[1], dim=0))) < 0.1


@pytest.mark.parametrize("name", REGULARISERS)
def test_a_regulariser_leaves_prompt_and_global_generator_alone(name):
    prompt, before = prompt_of(), torch.get_rng_state()
    start = prompt.snapshot()["embed"]
    regulariser = built(name, prompt)
    prompt.values["embed"].data += 1
    assert float(regulariser.penalty(prompt.values, targets=1).detach()) > 0
    assert torch.equal(prompt.snapshot()["embed"], start + 1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture
def task():
    return pp.Task("toy", 1, {"train": EXAMPLES, "validation": EXAMPLES}, lambda *_: {})


def gaussian(backbone):
    return fit_prior("gaussian", pp.vocabulary(backbone), shrinkage="oas")


def test_loss_and_map_together_have_the_gradient_of_the_log_posterior_a_token(tiny, task):
    prompt, prior = drawn(tiny, "soft"), gaussian(tiny)
    value = prompt.values["embed"]
    losses = token_losses(tiny, prompt, encode(tiny, EXAMPLES))
    posterior = losses.nats.sum() - prior.log_prob(value).sum()
    (expected,) = torch.autograd.grad(posterior / len(losses.nats), value)
    (alone,) = torch.autograd.grad(-prior.log_prob(value).sum() / len(losses.nats), value)
    regulariser = regularise("map", prompt=prompt, priors=prior)
    list(pp.train(tiny, prompt, task, steps=1, batch=6, lr=0.1, regularisers=[regulariser]))
    torch.testing.assert_close(value.grad, expected, rtol=1e-4, atol=1e-7)
    assert alone.norm() > 0.1 * expected.norm()


def test_penalties_add_up_and_the_train_loss_stays_the_datas(tiny, task):
    prompt, prior = drawn(tiny, "soft"), Ball(tiny.dim, 0.05)
    given = {"prompt": prompt, "priors": prior, "points": {"embed": pp.vocabulary(tiny)}}
    several = [regularise(name, **given) for name in REGULARISERS]
    targets = len(token_losses(tiny, prompt, encode(tiny, EXAMPLES)).nats)
    expected = sum(float(r.penalty(prompt.values, targets=targets).detach()) for r in several)
    loss = float(pp.loss(tiny, prompt, EXAMPLES).detach())
    first, second = pp.train(tiny, prompt, task, steps=1, batch=6, lr=0.01, regularisers=several)
    assert first.penalty is None
    assert second.penalty == pytest.approx(expected)
    assert second.train_loss == pytest.approx(loss, rel=1e-5)


def test_without_regularisers_there_is_no_penalty(tiny, task):
    records = pp.train(tiny, drawn(tiny, "soft"), task, steps=2, lr=0.01)
    assert {record.penalty for record in records} == {None}


def test_a_resumed_training_with_regularisers_ends_where_the_whole_one_does(tiny, task):
    def start():
        prompt = drawn(tiny, "soft")
        points = {"embed": pp.vocabulary(tiny)}
        given = {"prompt": prompt, "points": points, "priors": gaussian(tiny)}
        return prompt, [regularise(name, **given) for name in ("map", "start", "repulsion")]

    settings = {"steps": 6, "batch": 2, "lr": 0.05}
    whole, several = start()
    expected = list(pp.train(tiny, whole, task, regularisers=several, **settings))
    half, several = start()
    state = Progress(half, 0.05)
    for record in pp.train(tiny, half, task, progress=state, regularisers=several, **settings):
        if record.step == 3:
            break
    resumed, several = start()
    again = Progress(resumed, 0.05)
    again.restore(state.tensors(), state.counters())
    rest = list(pp.train(tiny, resumed, task, progress=again, regularisers=several, **settings))
    assert [r.penalty for r in rest] == [r.penalty for r in expected[4:]]
    assert torch.equal(whole.values["embed"], resumed.values["embed"])


@pytest.mark.train
def test_the_posteriors_mode_lies_far_within_the_shell(tiny, task):
    prior = Ball(tiny.dim, 0.05)
    radii = {}
    for name in ("map", "shell"):
        prompt = pp.draw_prompt(prior, length=5, seed=1)
        regulariser = regularise(name, prompt=prompt, priors=prior)
        settings = {"steps": 100, "batch": 6, "lr": 3e-3, "evaluate_every": 100}
        list(pp.train(tiny, prompt, task, regularisers=[regulariser], **settings))
        radii[name] = float(prior.radius(prompt.values["embed"].detach()).mean())
    typical = math.sqrt(tiny.dim - 1)
    assert radii["shell"] == pytest.approx(typical, rel=0.1)
    assert radii["map"] < 0.5 * typical


def test_a_penalty_that_is_not_finite_stops_the_training_by_name(tiny, task):
    bad = Regulariser("shell", lambda values: torch.tensor(math.inf).double(), 1.0, shared=True)
    with pytest.raises(pp.WorkError) as error:
        list(pp.train(tiny, drawn(tiny, "soft"), task, steps=2, lr=0.05, regularisers=[bad]))
    assert str(error.value) == (
        "training diverged at step 0: the penalty 'shell' is inf, rate 0.05 at embed; try a"
        " smaller strength, or a smaller rate"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PRIORS)
def test_the_priors_that_map_is_said_to_take_are_those_that_it_takes(name):
    variants = [params for row, params in VARIANTS if row == name]
    if name in EVERYWHERE:
        variants.append(EVERYWHERE[name])
        assert everywhere(fitted(name, EVERYWHERE[name]))
    found = [everywhere(fitted(name, params)) for params in variants]
    assert any(found) == (name in EVERYWHERE)


def test_bounded_and_holed_densities_are_found_out():
    assert everywhere(Ball(DIM))
    assert not everywhere(Holed(DIM))
    assert not everywhere(fit_prior("xavier", cloud()))
    assert not everywhere(fit_prior("vocabulary", cloud()))


@pytest.mark.parametrize("name", ["gaussian", "isotropic"])
def test_shell_takes_the_priors_that_it_names(name):
    prior = fit_prior(name, cloud())
    assert isinstance(prior, Elliptical)
    values = prior.sample(200, generator=generator(0))
    prompt = pp.Prompt("soft", {"embed": values})
    mean = float(built("shell", prompt, priors=prior).penalty(prompt.values, targets=200).detach())
    assert 0 < mean < 1.5


def kv():
    return pp.Prompt("kv", {"block.0": torch.ones(2, DIM)})


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("mpa", {}, "unknown regulariser 'mpa'. Did you mean 'map'?"),
        ("map", {"strenght": 1.0}, "has no parameter 'strenght'. Did you mean 'strength'?"),
        ("shell", {"strength": 0.0}, "regulariser 'shell': strength = 0.0: input should be great"),
        ("map", {"neighbours": 3}, "has no parameter 'neighbours'"),
        ("map", {"priors": None}, "regulariser 'map' needs a prior at 'embed': give priors="),
        ("shell", {"priors": {"block.1": Ball(DIM)}}, "needs a prior at 'embed'"),
        ("map", {"priors": Holed(DIM)}, "the prior at 'embed' (Holed) has none\nThese have: "),
        (
            "map",
            {"priors": fit_prior("vocabulary", cloud())},
            "(Points) has none\nThese have: barycentre (first = 'gaussian') (second",
        ),
        ("shell", {"priors": fit_prior("xavier", cloud())}, "that at 'embed' (Uniform) has none"),
        ("map", {"prompt": kv()}, "does not go with mode 'kv': the prior is over embeddings, the"),
        ("shell", {"prompt": kv()}, "trained values are keys and values\nTake 'start' or"),
        ("repulsion", {"prompt": kv()}, "does not go with mode 'kv': points are no keys and"),
        (
            "repulsion",
            {"prompt": prompt_of("block.1")},
            "space = 'vocabulary' has no points where the prompt has vectors (block.1)\nTake acti",
        ),
        ("repulsion", {"points": None}, "no points where the prompt has vectors (embed)"),
        ("repulsion", {"neighbours": 41}, "neighbours = 41, and there are 40 points"),
        ("diversity", {"prompt": prompt_of(length=1)}, "at least two vectors a site, found 1"),
        (
            "start",
            {"prompt": pp.Prompt("soft", {"embed": torch.zeros(2, 3)})},
            "the start at 'embed' is zero, which sets no scale",
        ),
        ("map", {"prompt": pp.Prompt("none", {})}, "a prompt of mode 'none' has no vectors"),
    ],
)
def test_a_regulariser_that_can_not_be_built_says_why(name, more, message):
    with pytest.raises(pp.InputError) as error:
        built(name, **more)
    assert message in str(error.value)
