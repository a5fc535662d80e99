"""Table of modes: ways in which a prompt enters the network.

Whatever a mode trains, it reaches the text as keys and values that stand before it in some blocks.
A mode says which, from the prompt's vectors; the rest of the engine is the same for all of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError, unknown
from promptpriors.models import Backbone, sites
from promptpriors.packing import Prefix, packs_exactly, prefixes_of
from promptpriors.types import Site

Values = Mapping[Site, Tensor]
DEFAULT_BLOCKS = 3
"""Blocks at the end of the network that a deep prompt enters by default (the paper, 3.2)."""


class Mode(NamedTuple):
    """One way to insert a prompt.

    Attributes:
        prefixes: values by site, backbone and the rows of a first token (none, or one) to the keys
            and values that stand before the text, by block.
        defaults: the sites of a prompt in a model of so many blocks, where none are chosen.
        takes: which sites may be chosen, ``embed`` or ``block``; nothing where there is no choice.
        least: the smallest length.
        about: one line for people.
    """

    prefixes: Callable[[Values, Backbone, Tensor], dict[int, Prefix]]
    defaults: Callable[[int], tuple[Site, ...]]
    takes: tuple[str, ...]
    least: int
    about: str


def _none(values: Values, backbone: Backbone, bos: Tensor) -> dict[int, Prefix]:  # noqa: ARG001
    return prefixes_of(backbone, bos, {}) if len(bos) else {}


def _deep(values: Values, backbone: Backbone, bos: Tensor) -> dict[int, Prefix]:
    """The rows stay in the sequence from the first site on, replaced at each further one."""
    return _layered(values, backbone, bos, range(first_block(values)))


def _deep_cut(values: Values, backbone: Backbone, bos: Tensor) -> dict[int, Prefix]:
    """Each vector acts through the keys and values of its own block; nothing else of it is used."""
    others = set(range(len(backbone.blocks))) - set(map(block_of, values))
    return _layered(values, backbone, bos, others)


def _layered(
    values: Values, backbone: Backbone, bos: Tensor, without: Collection[int]
) -> dict[int, Prefix]:
    """Keys and values of rows that are replaced at each site, but in some blocks.

    There the text is told of the first token alone, whose row stands before the vectors': below the
    first site those hold zeros, which nobody sees.
    """
    start = values.get("embed", torch.zeros_like(next(iter(values.values()))))
    rows = torch.cat([bos, start.to(bos.device)]) if len(bos) else start
    inputs = {block_of(site): value for site, value in values.items() if site != "embed"}
    found = prefixes_of(backbone, rows, inputs, skipped=() if len(bos) else without)
    for i in without if len(bos) else ():
        keys, own = found[i]
        found[i] = keys[:, : len(bos)], own[:, : len(bos)]
    return found


def _kv(values: Values, backbone: Backbone, bos: Tensor) -> dict[int, Prefix]:
    """Keys, after rotation, and values, as they are."""
    if len(bos):
        raise InputError("prompt.bos goes with modes none, soft, deep and deep-cut, not with kv")
    return {block_of(site): split_keys(value, backbone) for site, value in values.items()}


def split_keys(value: Float[Tensor, "length width"], backbone: Backbone) -> Prefix:
    """Keys and values, ``[heads, length, head_dim]`` each, from one row a token, keys first."""
    pair = value.to(backbone.device, backbone.dtype).chunk(2, dim=1)
    keys, values = (x.reshape(len(x), backbone.key_heads, -1).transpose(0, 1) for x in pair)
    return keys, values


def join_keys(prefix: Prefix) -> Float[Tensor, "length width"]:
    """The inverse of ``split_keys``."""
    return torch.cat([x.transpose(0, 1).flatten(1) for x in prefix], dim=1)


def block_of(site: Site) -> int:
    """The block that a site feeds; ``embed`` feeds block 0."""
    return 0 if site == "embed" else int(site.removeprefix("block."))


def first_block(sites: Iterable[Site]) -> int:
    """The first block that a prompt's vectors enter."""
    return min(map(block_of, sites), default=0)


def _last_blocks(count: int) -> tuple[Site, ...]:
    return ("embed", *(f"block.{i}" for i in range(max(1, count - DEFAULT_BLOCKS), count)))


MODES: dict[str, Mode] = {
    "none": Mode(_none, lambda _: (), (), 0, "nothing is trained: the plain model, a baseline"),
    "soft": Mode(
        _deep, lambda _: ("embed",), ("embed",), 1, "embeddings at the input (Lester et al. 2021)"
    ),
    "deep-cut": Mode(
        _deep_cut,
        _last_blocks,
        ("embed", "block"),
        1,
        "vectors at the input of chosen blocks, cut away after each (the paper, section 3.2)",
    ),
    "deep": Mode(
        _deep,
        _last_blocks,
        ("embed", "block"),
        1,
        "as deep-cut, but they stay in the sequence and are replaced at each further site",
    ),
    "kv": Mode(
        _kv,
        lambda count: tuple(f"block.{i}" for i in range(count)),
        ("block",),
        1,
        "keys and values of blocks (prefix tuning, Li & Liang 2021)",
    ),
}


def check_mode(mode: str, length: int, chosen: Sequence[Site] | None) -> Mode:
    """The row of a mode, if length and sites go with it; which blocks there are is not known yet.

    Raises:
        InputError: for an unknown mode, a length below its least, or sites it can't take.
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    row = MODES[mode]
    if length < row.least:
        raise InputError(
            f"prompt length {length} with mode {mode!r}: expected at least {row.least} "
            "(for the empty prompt take mode 'none')"
        )
    if chosen is None or mode == "none":
        return row
    names = {"embed": "embed", "block": "block.0, block.1 …"}
    allowed = ", ".join(names[kind] for kind in row.takes)
    for site in chosen:
        kind = "block" if site.startswith("block.") and site[6:].isdecimal() else site
        if kind not in row.takes:
            raise InputError(f"mode {mode!r} takes the sites {allowed}; found {site!r}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"mode {mode!r} takes sites, each once ({allowed}); found {list(chosen)}")
    if {"embed", "block.0"} <= set(chosen):
        raise InputError(
            f"mode {mode!r}: embed and block.0 are both the input of block 0; choose one of them"
        )
    return row


def sites_of(mode: str, chosen: Sequence[Site] | None, blocks: int) -> tuple[Site, ...]:
    """The sites of a prompt in a model of so many blocks, first to last.

    Raises:
        InputError: for a block that the model does not have.
    """
    if chosen is None and "block" in MODES[mode].takes and not blocks:
        raise _unknown_blocks(mode)
    found = MODES[mode].defaults(blocks) if chosen is None else tuple(chosen)
    for site in found:
        if site != "embed" and block_of(site) >= blocks:
            there = f"block.0 … block.{blocks - 1}" if blocks else "no blocks that we know"
            raise InputError(f"site {site!r} does not exist in this model; it has embed, {there}")
    return tuple(sorted(found, key=lambda site: (block_of(site), site != "embed")))


def _unknown_blocks(mode: str) -> InputError:
    return InputError(
        f"mode {mode!r} is for decoder-only models whose blocks are known: "
        f"{', '.join(sorted(sites.LAYOUTS))}\nTake mode 'soft', or another model"
    )


def check_model(mode: str, backbone: Backbone) -> None:
    """Refuse a mode that an encoder–decoder has not.

    Raises:
        InputError: naming those it has.
    """
    if backbone.seq2seq and mode not in {"none", "soft"}:
        raise InputError(
            f"mode {mode!r} is for decoder-only models; {backbone.name!r} "
            f"({backbone.model.config.model_type}) is an encoder–decoder\n"
            "Take mode 'soft', whose vectors stand before the encoder's text, or another model"
        )


def check_prompt(mode: str, values: Values, backbone: Backbone) -> None:
    """Refuse a prompt that is not for this model.

    Raises:
        InputError: for another width, a block that the model does not have, or a mode that it can
            not be given.
    """
    check_model(mode, backbone)
    if mode in {"deep", "deep-cut", "kv"} and not backbone.blocks:
        raise _unknown_blocks(mode)
    sites_of(mode, tuple(values), len(backbone.blocks))
    width = 2 * backbone.key_width if mode == "kv" else backbone.dim
    for site, value in values.items():
        if value.shape[1] != width:
            raise InputError(
                f"the prompt's vectors at {site} have {value.shape[1]} coordinates, those of model "
                f"{backbone.name!r} {width}\nTake the model that the prompt was drawn for"
            )
    if mode not in {"none", "soft"} and not packs_exactly(backbone):
        raise InputError(
            f"mode {mode!r} needs a model whose attention can be given keys and values; "
            f"{backbone.name!r} ({backbone.model.config.model_type}) runs as padded batches\n"
            "Take mode 'soft', or another model"
        )


def shift_of(values: Values, backbone: Backbone, before: int, first_token: int) -> int:
    """The position of a text's first token: the number of rows that stand before it.

    Where positions are learned, they are added once, at the input, so rows that only stand before
    it further up do not shift it, and the blocks below equal the plain model's.
    """
    deep = first_block(values) > 0
    return first_token if deep and sites.learned_positions(backbone.model) else before
