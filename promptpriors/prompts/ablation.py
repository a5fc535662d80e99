"""Effects of a prompt's vectors: the loss when some are masked, or replaced by others.

Whatever a mode trains reaches the text as keys and values that stand before it, so a masked vector
is one whose keys and values the text does not find. Everything else keeps its position. In the
modes ``soft`` and ``deep`` the prompt's other rows still see the masked one: taken out of the
prompt altogether it would move them, and the change of loss would not be its own.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import (
    Encoded,
    Entry,
    Prefix,
    chunks,
    encode,
    logits_of,
    pack,
    packs_exactly,
    states_of,
)
from promptpriors.prompts.insertion import Inserted, insert
from promptpriors.prompts.modes import block_of, check_prompt, first_block
from promptpriors.prompts.prompt import Prompt
from promptpriors.prompts.readout import read
from promptpriors.types import Example, Site

BUDGET = 800
"""Tokens of a row, as in evaluation."""


class ByExample(NamedTuple):
    """Losses of the same examples under several conditions, one a row.

    Attributes:
        nats: summed over the target tokens of each example, float64.
        targets: target tokens of each example.
    """

    nats: Float[Tensor, "sets examples"]
    targets: Int[Tensor, " examples"]

    @property
    def losses(self) -> Float[Tensor, " sets"]:
        """Mean nats per target token under each condition."""
        return self.nats.sum(dim=1) / self.targets.sum()


@torch.no_grad()
def ablated(
    backbone: Backbone,
    prompt: Prompt,
    examples: Sequence[Example],
    groups: Sequence[Sequence[int]],
    *,
    site: Site | None = None,
) -> ByExample:
    """Losses with the keys and values of some vectors masked for the text.

    Args:
        backbone: the frozen model.
        prompt: of any mode that has vectors.
        examples: at least one.
        groups: numbers of the vectors that are masked together; an empty group masks nothing.
        site: where they are masked, that is in the blocks where this site's vectors stand; at all
            sites unless given.

    Raises:
        InputError: for a vector or a site that the prompt does not have, examples beyond a sliding
            window, or a model that runs as padded batches.
    """
    encoded = encode_whole(backbone, prompt, examples)
    whole = insert(backbone, prompt)
    blocks = standing(prompt, len(backbone.blocks), site)
    sets = [masked(whole, prompt, group, blocks) for group in groups]
    return _losses(backbone, prompt, sets, encoded)


@torch.no_grad()
def compared(
    backbone: Backbone, prompts: Sequence[Prompt], examples: Sequence[Example]
) -> ByExample:
    """Losses of several prompts of one mode, length and choice of sites.

    Args:
        backbone: the frozen model.
        prompts: at least one.
        examples: at least one.

    Raises:
        InputError: as ``ablated``.
    """
    encoded = encode_whole(backbone, prompts[0], examples)
    sets = [insert(backbone, prompt) for prompt in prompts]
    return _losses(backbone, prompts[0], sets, encoded)


def replaced(prompt: Prompt, other: Prompt, vectors: Sequence[int]) -> Prompt:
    """The prompt with some vectors, at every site, taken from another of the same shape.

    It is another prompt: in the modes ``soft`` and ``deep`` the rows after a replaced one see the
    new one.
    """
    values = prompt.snapshot()
    for site, given in other.snapshot().items():
        values[site][list(vectors)] = given[list(vectors)]
    return Prompt(prompt.mode, values, bos=prompt.bos)


def encode_whole(backbone: Backbone, prompt: Prompt, examples: Sequence[Example]) -> list[Encoded]:
    """Examples of which every token sees every vector of a prompt, as keys and values.

    Raises:
        InputError: without examples or vectors, for a prompt that is not for the model, a model
            that runs as padded batches, and examples that reach beyond a sliding window.
    """
    if not examples or not prompt.length:
        raise InputError("what vectors do: expected at least one example and a prompt with vectors")
    check_prompt(prompt.mode, prompt.values, backbone)
    encoded = encode(backbone, examples, before=prompt.before)
    longest = prompt.before + max(example.read for example in encoded)
    if not packs_exactly(backbone, longest=longest):
        raise InputError(
            f"model {backbone.name!r} ({backbone.model.config.model_type}) runs as padded batches; "
            "vectors are masked in models whose attention can be given keys and values"
        )
    config = backbone.model.config.get_text_config()
    slides = getattr(config, "use_sliding_window", True)
    window = getattr(config, "sliding_window", None) if slides else None
    if window is not None and longest > window:
        raise InputError(
            f"the longest example needs {longest} positions with the prompt, and a token of model "
            f"{backbone.name!r} sees {window}\nLeave out longer examples"
        )
    return encoded


def masked(
    inserted: Inserted, prompt: Prompt, vectors: Sequence[int], blocks: Collection[int]
) -> Inserted:
    """Rows before the text without some vectors, in the blocks given.

    Raises:
        InputError: for a vector that the prompt does not have.
    """
    wrong = [i for i in vectors if not 0 <= i < prompt.length]
    if wrong:
        raise InputError(f"vector {wrong[0]}: the prompt has 0 … {prompt.length - 1}")
    found: dict[int, Prefix] = {}
    for block, (keys, values) in inserted.prefixes.items():
        gone = {int(prompt.bos) + i for i in vectors} if block in blocks else set()
        kept = [i for i in range(keys.shape[1]) if i not in gone]
        if kept:
            found[block] = keys[:, kept], values[:, kept]
    return inserted._replace(prefixes=found)


def standing(prompt: Prompt, blocks: int, site: Site | None = None) -> dict[int, Site]:
    """The blocks where a prompt's vectors stand before the text, each with their site.

    A ``soft`` or ``deep`` prompt's rows run on from a site to the next one, or to the end; in the
    other modes a site is its own block.

    Args:
        prompt: of any mode.
        blocks: of the model.
        site: the only one that counts; all of them unless given.

    Raises:
        InputError: for a site where the prompt has no vectors.
    """
    if site is not None and site not in prompt.sites:
        raise InputError(f"site {site!r}: the prompt has vectors at {', '.join(prompt.sites)}")
    found: dict[int, Site] = {}
    for here in sorted(prompt.sites, key=block_of):
        first = block_of(here)
        runs_on = prompt.mode in {"soft", "deep"}
        found |= dict.fromkeys(range(first, blocks if runs_on else first + 1), here)
    return {block: here for block, here in found.items() if site in {None, here}}


def _losses(
    backbone: Backbone, prompt: Prompt, sets: Sequence[Inserted], encoded: Sequence[Encoded]
) -> ByExample:
    """All conditions on one row after another; below the first site they share their states."""
    nats = torch.zeros(len(sets), len(encoded), dtype=torch.float64)
    targets = torch.zeros(len(encoded), dtype=torch.long)
    first = first_block(prompt.sites)
    site, entry = f"block.{first}", None
    below = {i: pair for i, pair in sets[0].prefixes.items() if i < first}
    for chunk in chunks(encoded, BUDGET):
        row = pack([encoded[i] for i in chunk])
        places = torch.tensor(chunk)[row.owner]
        targets.index_add_(0, places, torch.ones_like(places))
        if first:
            passed = states_of(backbone, row, [site], prefixes=below, shift=sets[0].shift)
            entry = Entry(first, passed[site])
        for number, inserted in enumerate(sets):
            logits = logits_of(backbone, row, inserted.prefixes, shift=inserted.shift, entry=entry)
            found = read(logits, row.slot, row.targets, row.owner, computed=0)
            nats[number].index_add_(0, places, found.nats.cpu().double())
    return ByExample(nats, targets)
