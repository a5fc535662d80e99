"""Draw a prompt from its prior."""

from collections.abc import Mapping, Sequence

from promptpriors.errors import InputError
from promptpriors.prompts.modes import check_mode
from promptpriors.prompts.prompt import Prompt
from promptpriors.rng import generator
from promptpriors.types import Prior, Site


def draw_prompt(
    prior: Prior | Mapping[Site, Prior],
    *,
    length: int = 20,
    mode: str = "soft",
    sites: Sequence[Site] = ("embed",),
    seed: int = 0,
    bos: bool = False,
) -> Prompt:
    """Draw the start of a prompt.

    Args:
        prior: one for all sites, or one for each.
        length: vectors a site.
        mode: a row of ``MODES``.
        sites: where the vectors go.
        seed: each site has its own random stream from it.
        bos: whether the tokenizer's first token stands before the prompt.

    Raises:
        InputError: if mode, length and sites do not go together, or a site has no prior.
    """
    check_mode(mode, length, sites)
    if mode == "none":
        return Prompt(mode, {}, bos=bos)
    values = {}
    for site in sites:
        if isinstance(prior, Mapping) and site not in prior:
            raise InputError(f"site {site!r} has no prior; there is one for {', '.join(prior)}")
        chosen = prior[site] if isinstance(prior, Mapping) else prior
        values[site] = chosen.sample(length, generator=generator(seed, "draw", site))
    return Prompt(mode, values, bos=bos)
