"""Draw a prompt from its prior."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import prefixes_of
from promptpriors.prompts.modes import (
    MODES,
    block_of,
    check_mode,
    check_model,
    check_prompt,
    join_keys,
    sites_of,
)
from promptpriors.prompts.prompt import Prompt
from promptpriors.registry import Field, Seed, Strict, check_call
from promptpriors.rng import generator
from promptpriors.types import Prior, Site


class Drawn(Strict):
    """Keyword parameters of ``draw_prompt`` that a config has too."""

    mode: str = "soft"
    length: Annotated[int, Field(ge=0, le=100_000)] = 20
    sites: list[str] | None = None
    bos: bool = False


class _Call(Drawn):
    seed: Seed = 0


def draw_prompt(
    prior: Prior | Mapping[Site, Prior],
    *,
    length: int = 20,
    mode: str = "soft",
    sites: Sequence[Site] | None = None,
    seed: int = 0,
    bos: bool = False,
    backbone: Backbone | None = None,
) -> Prompt:
    """Draw the start of a prompt.

    Args:
        prior: one for all sites, or one for each. In mode ``kv`` one prior draws embeddings, whose
            keys and values in the frozen model are taken, so that the start equals that soft
            prompt; several draw keys and values themselves, keys first.
        length: vectors a site.
        mode: a row of ``MODES``.
        sites: where the vectors go; the mode's default where none are given.
        seed: each site has its own random stream from it.
        bos: whether the tokenizer's first token stands before the prompt.
        backbone: the model that the prompt is for; needed for the default sites of deep prompts and
            by ``kv`` with one prior. With it, a prompt that is not for it is refused.

    Raises:
        InputError: for values that a config would not take; if mode, length and sites do not go
            together, a site has no prior, or the model is needed and missing.
    """
    listed = sites if sites is None or isinstance(sites, str) else list(sites)
    given = {"mode": mode, "length": length, "sites": listed, "bos": bos, "seed": seed}
    check_call(_Call, "draw_prompt", given)
    check_mode(mode, length, sites)
    if mode == "none":
        return Prompt(mode, {}, bos=bos)
    if backbone is not None:
        check_model(mode, backbone)
        sites = sites_of(mode, sites, len(backbone.blocks))
    elif sites is None:
        if mode != "soft":
            raise InputError(
                f"mode {mode!r} has its sites from the model: give draw_prompt backbone=…, or sites"
            )
        sites = MODES[mode].defaults(0)
    if mode == "kv" and not isinstance(prior, Mapping):
        values = _keys_of(prior, length, sites, seed, backbone)
    else:
        values = {site: _draw(prior, site, length, seed) for site in sites}
    if backbone is not None:
        check_prompt(mode, values, backbone)
    return Prompt(mode, values, bos=bos)


@torch.no_grad()
def as_keys(backbone: Backbone, prompt: Prompt) -> Prompt:
    """The ``kv`` prompt that acts as a ``deep-cut`` prompt does: its keys and values by block.

    Args:
        backbone: the model that both are for.
        prompt: of mode ``deep-cut``.
    """
    found = MODES["deep-cut"].prefixes(prompt.values, backbone, torch.zeros(0, backbone.dim))
    values = {site: join_keys(found[block_of(site)]).float() for site in prompt.sites}
    check_prompt("kv", values, backbone)
    return Prompt("kv", values, bos=prompt.bos)


def _draw(prior: Prior | Mapping[Site, Prior], site: Site, length: int, seed: int) -> Tensor:
    if isinstance(prior, Mapping):
        if site not in prior:
            raise InputError(f"site {site!r} has no prior; there is one for {', '.join(prior)}")
        prior = prior[site]
    drawn = prior.sample(length, generator=generator(seed, "draw", site))
    if not bool(torch.isfinite(drawn).all()):
        raise InputError(
            f"the prior of {site!r} draws numbers that are too large for float32; expected finite "
            "ones, so give it smaller parameters or another space"
        )
    return drawn


@torch.no_grad()
def _keys_of(
    prior: Prior, length: int, sites: Sequence[Site], seed: int, backbone: Backbone | None
) -> dict[Site, Tensor]:
    """Keys and values that drawn embeddings have in the frozen model, by site."""
    if backbone is None:
        raise InputError(
            "mode 'kv' runs drawn embeddings through the model: give draw_prompt backbone=…, "
            "or a prior for each block"
        )
    rows = _draw(prior, "embed", length, seed)
    check_prompt("soft", {"embed": rows}, backbone)
    check_prompt("kv", {}, backbone)
    found = prefixes_of(backbone, rows, {})
    return {site: join_keys(found[block_of(site)]).float() for site in sites}
