"""Priors: where a prompt's vectors may start. They see a Space and never a model."""

from collections.abc import Callable, Mapping
from typing import Any

from promptpriors.errors import InputError
from promptpriors.priors import gaussian, isotropic, matched, text, vocabulary, xavier
from promptpriors.registry import Choice, choose
from promptpriors.rng import generator
from promptpriors.types import Prior, Space

PRIORS: dict[str, Callable[..., Prior]] = {
    "gaussian": gaussian.fit,
    "isotropic": isotropic.fit,
    "matched": matched.fit,
    "text": text.fit,
    "vocabulary": vocabulary.fit,
    "xavier": xavier.fit,
}
"""Name to ``fit(space, *, generator, …) -> Prior``; keywords after ``generator`` are the config."""


def fit_prior(name: str, space: Space, *, seed: int = 0, **params: Any) -> Prior:
    """Fit the prior ``name`` to a space.

    Args:
        name: a row of ``PRIORS``.
        space: what to fit to.
        seed: of whatever in the fit is random.
        params: the prior's own parameters; an inner prior may be a Prior or a config.

    Raises:
        InputError: for an unknown name or parameter, a wrong type or range, or a space that the
            prior can't be fitted to.

    >>> import torch
    >>> cloud = Space("embed", torch.randn(200, 4, generator=torch.Generator().manual_seed(0)))
    >>> fit_prior("gaussian", cloud, covariance="diag").sample(2, generator=generator(0)).shape
    torch.Size([2, 4])
    """
    return build_prior(
        choose("prior", PRIORS, {"name": name, **params}), lambda _: space, seed=seed
    )


def build_prior(
    choice: Choice, space_of: Callable[[Mapping[str, Any]], Space], *, seed: int = 0
) -> Prior:
    """Fit a checked choice and, before it, the priors inside it.

    Args:
        choice: from ``registry.choose``.
        space_of: the space that a (possibly inner) prior's config asks for.
        seed: of whatever in the fits is random.
    """
    space = space_of(choice.params)
    if len(space.points) == 0:
        raise InputError(f"prior {choice.name!r}: the space at {space.site!r} has no points")
    params = {key: value for key, value in choice.params.items() if key not in SPACE_KEYS}
    for key, value in params.items():
        if isinstance(value, Choice):
            params[key] = build_prior(value, space_of, seed=seed)
    return PRIORS[choice.name](space, generator=generator(seed, "fit", choice.name), **params)


SPACE_KEYS = ("space", "pool", "length_matched")
"""Keys of a prior's config that say which space it is fitted to."""

__all__ = ["PRIORS", "SPACE_KEYS", "build_prior", "fit_prior"]
