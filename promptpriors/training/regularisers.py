"""Penalties that hold a prompt in training to its prior, its start, or away from real points.

Training minimises the mean nats per target token; a regulariser adds to it. Those that are a
negative log-density are divided by N, the target tokens of the train split, so that strength 1 is
the weight that Bayes gives them: loss + penalty = −log posterior / N, up to a constant.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from promptpriors.errors import InputError
from promptpriors.geometry import nearest_by_cosine, rms
from promptpriors.prompts import Prompt
from promptpriors.registry import Field, choose
from promptpriors.rng import generator
from promptpriors.types import Density, Elliptical, Prior, Site, Space

Strength = Annotated[float, Field(gt=0)]
Energy = Callable[[Mapping[Site, Tensor]], Float[Tensor, ""]]
"""Values by site, on the CPU in float64, to a number."""
EVERYWHERE: Mapping[str, Mapping[str, str]] = {
    "barycentre": {"first": "gaussian", "second": "gaussian"},
    "cluster": {"draw": "gaussian"},
    "gaussian": {},
    "interpolation": {"first": "gaussian", "second": "gaussian"},
    "isotropic": {},
    "matched": {"prior": "gaussian"},
    "mixture": {"first": "gaussian", "second": "gaussian"},
    "posterior": {"draw": "gaussian"},
    "xavier": {"distribution": "normal"},
}
"""Rows of ``PRIORS`` whose density is finite everywhere, and the parameters that make it so."""


@dataclass(frozen=True)
class Regulariser:
    """A penalty on a prompt's values.

    Attributes:
        name: a row of ``REGULARISERS``.
        energy: what is penalised.
        strength: its factor.
        shared: whether it is divided by the number of target tokens.
    """

    name: str
    energy: Energy
    strength: float
    shared: bool

    def penalty(self, values: Mapping[Site, Tensor], *, targets: int) -> Float[Tensor, ""]:
        """Term added to the loss, differentiable, on the CPU in float64.

        Args:
            values: the prompt's present values by site, on any device.
            targets: target tokens of the train split.
        """
        moved = {site: value.to("cpu", torch.float64) for site, value in values.items()}
        return self.energy(moved) * self.strength / (targets if self.shared else 1)


class Given(NamedTuple):
    """References of a regulariser: the prompt as it starts, its priors, real points."""

    prompt: Prompt
    priors: Mapping[Site, Prior]
    points: Mapping[Site, Space]


def posterior_mode(given: Given, *, strength: Strength = 1.0) -> Regulariser:
    """−Σ log p(x) over all vectors and sites: training looks for the posterior's mode.

    In many dimensions a mode is no typical point: a Gaussian's draws lie about √rank from the mean,
    and nearly none of its mass near it. Where the task has little to say vectors are drawn to the
    mean, and so to each other; ``shell`` is for those who do not want that. The constant of the
    density is part of the penalty, which may be negative.

    Raises:
        InputError: for a prior without a density that is finite everywhere.
    """
    densities: dict[Site, Density] = {}
    for site, prior in _priors("map", given).items():
        if not everywhere(prior):
            listed = ", ".join(
                name + "".join(f" ({key} = {value!r})" for key, value in params.items())
                for name, params in EVERYWHERE.items()
            )
            raise InputError(
                f"regulariser 'map' needs a density that is finite everywhere, and the prior at"
                f" {site!r} ({type(prior).__name__}) has none\nThese have: {listed}"
            )
        densities[site] = prior

    def energy(values: Mapping[Site, Tensor]) -> Tensor:
        return _total([-densities[site].log_prob(x).sum() for site, x in values.items()])

    return Regulariser("map", energy, strength, shared=True)


def shell(given: Given, *, strength: Strength = 1.0) -> Regulariser:
    """Σ r²/2 − (rank − 1) ln r, minus its minimum: keeps Mahalanobis radii typical of the prior.

    It is −log of the chi density of each vector's radius, zero at √(rank − 1); all directions are
    alike to it.

    Raises:
        InputError: for a prior that is not elliptical.
    """
    ellipses: dict[Site, Elliptical] = {}
    for site, prior in _priors("shell", given).items():
        if not isinstance(prior, Elliptical):
            raise InputError(
                f"regulariser 'shell' needs a prior with a Mahalanobis radius, and that at {site!r}"
                f" ({type(prior).__name__}) has none\nTake gaussian or isotropic, or 'start'"
            )
        ellipses[site] = prior

    def energy(values: Mapping[Site, Tensor]) -> Tensor:
        return _total([_chi(ellipses[site], x) for site, x in values.items()])

    return Regulariser("shell", energy, strength, shared=True)


def start(given: Given, *, strength: Strength = 1.0) -> Regulariser:
    """Σ ‖x − x₀‖² / (2σ²): a Gaussian about the start, with σ its site's rms per coordinate.

    Raises:
        InputError: for a start that is zero.
    """
    starts = {site: value.to(torch.float64) for site, value in given.prompt.snapshot().items()}
    sizes = {site: rms(value) for site, value in starts.items()}
    for site, size in sizes.items():
        if size == 0:
            raise InputError(
                f"regulariser 'start': the start at {site!r} is zero, which sets no scale\n"
                "Take a prior that draws other vectors"
            )

    def energy(values: Mapping[Site, Tensor]) -> Tensor:
        return _total([((x - starts[s]) / sizes[s]).square().sum() / 2 for s, x in values.items()])

    return Regulariser("start", energy, strength, shared=True)


def repulsion(
    given: Given,
    *,
    space: str | list[str] = "vocabulary",
    neighbours: Annotated[int, Field(ge=1)] = 10,
    strength: Strength = 1.0,
) -> Regulariser:
    """Mean cosine of a site's vectors to their nearest real points, found at each step.

    It is averaged over the sites that have points: of the vocabulary that is ``embed`` alone.
    ``space`` says what they are the points of, as a prior's does; the ``neighbours`` nearest count.

    Raises:
        InputError: for a prompt of keys and values, without points at its sites, or without enough.
    """
    prompt, real = given.prompt, given.points
    if prompt.mode == "kv":
        raise InputError(
            "regulariser 'repulsion' does not go with mode 'kv': points are no keys and values"
        )
    clouds = {site: real[site].points.to("cpu") for site in prompt.sites if site in real}
    if not clouds:
        raise InputError(
            f"regulariser 'repulsion': space = {space!r} has no points where the prompt has vectors"
            f" ({', '.join(prompt.sites)})\nTake activations of each site, such as 'site:c4'"
        )
    least = min(map(len, clouds.values()))
    if neighbours > least:
        raise InputError(
            f"regulariser 'repulsion': neighbours = {neighbours}, and there are {least} points"
        )

    def energy(values: Mapping[Site, Tensor]) -> Tensor:
        found = (
            nearest_by_cosine(values[site].to(points.dtype), points, k=neighbours).cosine.mean()
            for site, points in clouds.items()
        )
        return _total([mean.to(torch.float64) for mean in found]) / len(clouds)

    return Regulariser("repulsion", energy, strength, shared=False)


def diversity(given: Given, *, strength: Strength = 1.0) -> Regulariser:
    """Mean squared cosine between different vectors of a site, averaged over sites.

    To vectors that are exactly equal it says nothing: there the squared cosine is stationary.

    Raises:
        InputError: for a prompt of one vector.
    """
    if given.prompt.length < 2:
        raise InputError("regulariser 'diversity' needs at least two vectors a site, found 1")

    def energy(values: Mapping[Site, Tensor]) -> Tensor:
        return _total([_alike(x) for x in values.values()]) / len(values)

    return Regulariser("diversity", energy, strength, shared=False)


REGULARISERS: dict[str, Callable[..., Regulariser]] = {
    "map": posterior_mode,
    "shell": shell,
    "start": start,
    "repulsion": repulsion,
    "diversity": diversity,
}
"""Name to ``build(given, *, …) -> Regulariser``; the keywords are the config."""


def regularise(
    name: str,
    *,
    prompt: Prompt,
    priors: Prior | Mapping[Site, Prior] | None = None,
    points: Mapping[Site, Space] | None = None,
    **params: Any,
) -> Regulariser:
    """Build the regulariser ``name`` for a prompt that stands at its start.

    Args:
        name: a row of ``REGULARISERS``.
        prompt: as it was drawn; a checkpoint is restored afterwards.
        priors: one for all sites, or one for each; for ``map`` and ``shell``.
        points: real points by site, for ``repulsion``; ``{"embed": vocabulary(backbone)}``.
        params: the regulariser's own parameters.

    Raises:
        InputError: for an unknown name or parameter, a wrong type or range, or what the regulariser
            can't be built for.
    """
    choice = choose("regulariser", REGULARISERS, {"name": name, **params}, supplied=())
    if not prompt.length:
        raise InputError(f"regulariser {name!r}: a prompt of mode {prompt.mode!r} has no vectors")
    if not isinstance(priors, Mapping):
        priors = {} if priors is None else dict.fromkeys(prompt.sites, priors)
    return REGULARISERS[name](Given(prompt, priors, points or {}), **choice.params)


def everywhere(prior: Prior) -> TypeGuard[Density]:
    """True where a prior's density is finite wherever it is tried, which is no proof.

    Tried are 0 and 64 draws, at 0, 1 and 3 times their distance from their mean: bounded supports
    and holes in the middle are found out.
    """
    if not isinstance(prior, Density):
        return False
    draws = prior.sample(64, generator=generator(0, "everywhere")).to(torch.float64)
    mean = draws.mean(dim=0)
    tried = [torch.zeros_like(draws[:1]), *(mean + far * (draws - mean) for far in (0, 1, 3))]
    return bool(torch.isfinite(prior.log_prob(torch.cat(tried))).all())


def _priors(name: str, given: Given) -> dict[Site, Prior]:
    """The prior at each site of the prompt."""
    if given.prompt.mode == "kv":
        raise InputError(
            f"regulariser {name!r} does not go with mode 'kv': the prior is over embeddings, the"
            " trained values are keys and values\nTake 'start' or 'diversity'"
        )
    missing = [site for site in given.prompt.sites if site not in given.priors]
    if missing:
        raise InputError(f"regulariser {name!r} needs a prior at {missing[0]!r}: give priors=…")
    return {site: given.priors[site] for site in given.prompt.sites}


def _chi(prior: Elliptical, x: Tensor) -> Tensor:
    """−log of the chi density of the radii, above its minimum."""
    power, radius = prior.rank - 1, prior.radius(x)
    least = (power - power * math.log(power)) / 2 if power else 0.0
    return (radius.square() / 2 - torch.xlogy(power, radius) - least).sum()


def _alike(x: Tensor) -> Tensor:
    """Mean squared cosine over pairs of different rows."""
    unit = normalize(x, dim=1)
    cosines = unit @ unit.T
    return torch.tril(cosines, diagonal=-1).square().sum() * 2 / (len(x) * (len(x) - 1))


def _total(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()
