"""Priors: where a prompt's vectors may start. They see a Space and never a model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from promptpriors.errors import InputError
from promptpriors.priors import (
    barycentre,
    cluster,
    exclusion,
    gaussian,
    interpolation,
    isotropic,
    low_density,
    matched,
    mixture,
    points,
    posterior,
    storage,
    text,
    vae,
    vocabulary,
    xavier,
)
from promptpriors.priors.diagnosis import diagnose
from promptpriors.registry import Choice, choose
from promptpriors.rng import generator
from promptpriors.types import Prior, Space

PRIORS: dict[str, Callable[..., Prior]] = {
    "barycentre": barycentre.fit,
    "cluster": cluster.fit,
    "exclusion": exclusion.fit,
    "gaussian": gaussian.fit,
    "interpolation": interpolation.fit,
    "isotropic": isotropic.fit,
    "low_density": low_density.fit,
    "matched": matched.fit,
    "mixture": mixture.fit,
    "points": points.fit,
    "posterior": posterior.fit,
    "text": text.fit,
    "vae": vae.fit,
    "vocabulary": vocabulary.fit,
    "xavier": xavier.fit,
}
"""Name to ``fit(space, *, generator, …) -> Prior``; keywords after ``generator`` are the config."""


def fit_prior(name: str, space: Space, *, seed: int = 0, **params: Any) -> Prior:
    """Fit the prior ``name`` to a space.

    ``seed`` is of whatever in the fit is random; an inner prior may be a Prior or a config.

    Raises:
        InputError: for an unknown name or parameter, a wrong type or range, or a space that the
            prior can't be fitted to.

    >>> import torch
    >>> cloud = Space("embed", torch.randn(200, 4, generator=torch.Generator().manual_seed(0)))
    >>> fit_prior("gaussian", cloud, covariance="diag").sample(2, generator=generator(0)).shape
    torch.Size([2, 4])
    """
    choice = choose("prior", PRIORS, {"name": name, **params})
    return build_prior(choice, lambda _: space, seed=seed)


def build_prior(
    choice: Choice, space_of: Callable[[Mapping[str, Any]], Space], *, seed: int = 0
) -> Prior:
    """Fit a checked choice and, before it, the priors inside it.

    ``space_of`` gives the space that a (possibly inner) prior's config asks for.
    """
    space = space_of(choice.params)
    _check_points(choice.name, space)
    params = {
        key: build_prior(value, space_of, seed=seed) if isinstance(value, Choice) else value
        for key, value in choice.params.items()
        if key not in SPACE_KEYS
    }
    return PRIORS[choice.name](space, generator=generator(seed, "fit", choice.name), **params)


def save_prior(prior: Prior, folder: str | Path) -> Path:
    """Write a prior into a folder, made when missing: ``prior.safetensors``, then ``prior.json``.

    Raises:
        InputError: for a prior of a class that no row's module defines, or a folder that can't be
            written.
    """
    return storage.save(prior, folder, PRIORS)


def load_prior(folder: str | Path) -> Prior:
    """Read a prior back, checked against the annotations; its draws are the same to the bit.

    Raises:
        InputError: for a missing or damaged folder, or one of another format.
    """
    return storage.load(folder, PRIORS)


def _check_points(name: str, space: Space) -> None:
    """Refuse a space without points, of nothing but one point, or with one that is not finite."""
    if len(space.points) == 0:
        raise InputError(f"prior {name!r}: the space at {space.site!r} has no points")
    finite = torch.isfinite(space.points.sum(dim=1))
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        group = "" if space.groups is None else f" (of example group {int(space.groups[row])})"
        raise InputError(
            f"prior {name!r}: point {row}{group} of the space at {space.site!r} is not finite; "
            "leave that example out, or capture it in float32"
        )
    if len(space.points) > 1 and bool((space.points == space.points[0]).all()):
        raise InputError(
            f"prior {name!r}: all {len(space.points)} points of the space at {space.site!r} equal "
            "point 0; give it points that differ"
        )


SPACE_KEYS = ("space", "pool", "length_matched")  # that say which space a prior is fitted to

__all__ = [
    "PRIORS",
    "SPACE_KEYS",
    "build_prior",
    "diagnose",
    "fit_prior",
    "load_prior",
    "save_prior",
]
