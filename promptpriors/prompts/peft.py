"""PEFT in and out: fill, read and write its prompts and prefixes.

PEFT's PromptTuning is our mode ``soft``. Its PrefixTuning is our mode ``kv`` on every block: a row
of its weight holds the keys and then the values of block 0, those of block 1, and so on. Its other
prompts are one of the two once they are saved: what a network makes is saved as its result.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import packs_exactly
from promptpriors.prompts.adapters import (
    CARTRIDGE,
    PREFIX,
    PROMPT,
    SEQ2SEQ,
    TENSOR,
    check_kind,
    load,
)
from promptpriors.prompts.cards import base_name, card, notes
from promptpriors.prompts.draw import draw_prompt
from promptpriors.prompts.exports import (
    MARK,
    MODEL,
    README,
    WEIGHTS,
    new_folder,
    write_export,
    write_model,
)
from promptpriors.prompts.insertion import insert
from promptpriors.prompts.modes import block_of, check_prompt, join_keys
from promptpriors.prompts.prompt import Prompt
from promptpriors.types import Prior, Site

__all__ = ["check_exportable", "initialize", "load", "save"]


def initialize(peft_model: Any, prior: Prior | Mapping[Site, Prior], *, seed: int = 0) -> None:
    """Fill the prompt of a PEFT PromptTuning, PrefixTuning or Cartridge model, in place.

    PromptTuning: the vectors of ``draw_prompt(prior, length=n, seed=seed)`` for n virtual tokens.
    In an encoder–decoder they stand before the encoder's text. PEFT keeps n more rows there (for
    the decoder, by its config) and reads none of them; they are filled with the same vectors.

    PrefixTuning and Cartridge of a causal model: one prior draws embeddings, which run through the
    frozen model once as a soft prompt; their keys and values are the prefix, so the start equals
    that prompt. A prior for each block, ``{"block.0": prior, …}``, draws keys and values
    themselves, a vector of 2 · key heads · head width coordinates a token, keys first.

    PrefixTuning of an encoder–decoder: a prior for each of the L blocks of PEFT's weight. PEFT puts
    block 2i mod L of it before the text in decoder block i's self-attention (where L is even, half
    of the weight is not read, and two decoder blocks share each block of the other half).

    Args:
        peft_model: what ``peft.get_peft_model`` returns; its active adapter is filled.
        prior: on the space of the base model's input embeddings; or one for each block.
        seed: each site has its own random stream from it.

    Raises:
        InputError: if the model is not such a model, its prefix is projected, or a prior does not
            have its width, or without the library peft.
    """
    config = _config_of(peft_model)
    length, width = int(config.num_virtual_tokens), int(config.token_dim)
    if config.peft_type == PROMPT:
        _check_sites(prior, ("embed",))
        rows = draw_prompt(prior, length=length, seed=seed).values["embed"]
        _check_width(rows, width, "its embeddings' width")
    elif isinstance(prior, Mapping):
        sites = tuple(f"block.{i}" for i in range(config.num_layers))
        _check_sites(prior, sites)
        drawn = draw_prompt(prior, length=length, mode="kv", sites=sites, seed=seed).values
        for value in drawn.values():
            _check_width(value, 2 * width, "keys, then values, of one block")
        rows = torch.cat(list(drawn.values()), dim=1)
    else:
        rows = _prefix_of(peft_model.get_base_model(), prior, length, seed)
    encoder = peft_model.prompt_encoder[peft_model.active_adapter]
    if config.peft_type == CARTRIDGE:
        encoder.load_prompt_embeddings(rows)  # its first rows may be kept apart, frozen
        return
    with torch.no_grad():
        encoder.embedding.weight.copy_(rows.repeat(len(encoder.embedding.weight) // length, 1))


def save(
    prompt: Prompt,
    folder: str | Path,
    *,
    backbone: Backbone,
    as_prefix: bool = False,
    with_model: bool = False,
    use: Mapping[str, str] | None = None,
) -> Path:
    """Write an adapter folder that ``PeftModel.from_pretrained(model, folder)`` loads.

    Its README.md says what PEFT makes of padding, and where the model is.

    Args:
        prompt: of mode ``soft``, or of mode ``kv`` on all blocks; ``as_prefix``, of any mode whose
            keys and values stand in all blocks.
        folder: appears whole or not at all; an earlier export in it is replaced.
        backbone: the model that the prompt is for.
        as_prefix: write the prompt's keys and values in the model. They do the same as the prompt,
            in left-padded batches too.
        with_model: write the model and its tokenizer into ``folder/model``.
        use: code for the README, by the software that it is for.

    Returns:
        The folder.

    Raises:
        InputError: for a prompt that PEFT has no counterpart of or that is not for this model, a
            folder that holds something else, or without the library peft.
    """
    if as_prefix:
        prompt = to_prefix(prompt, backbone)
    check_exportable(prompt, backbone)
    check_prompt(prompt.mode, prompt.values, backbone)
    peft, folder = _library(), Path(folder)
    text = backbone.model.config.get_text_config()
    commit = backbone.revision if re.fullmatch(r"[0-9a-f]{40}", backbone.revision) else None
    soft = prompt.mode == "soft"
    width = backbone.dim if soft else backbone.key_width
    source = str(folder.resolve() / MODEL) if with_model else base_name(backbone)
    shared: dict[str, Any] = {
        "task_type": SEQ2SEQ if backbone.seq2seq else "CAUSAL_LM",
        "base_model_name_or_path": source,
        "revision": None if with_model else commit,
        "inference_mode": True,
        "num_virtual_tokens": prompt.length,
        "num_transformer_submodules": 1,
        "num_layers": text.num_hidden_layers,
        "num_attention_heads": text.num_attention_heads if soft else backbone.key_heads,
        "token_dim": width,
    }
    if soft:
        config = peft.PromptTuningConfig(**shared)
    else:
        config = peft.PrefixTuningConfig(**shared, encoder_hidden_size=width)
    values = prompt.snapshot()
    rows = torch.cat([values[site] for site in sorted(values, key=block_of)], dim=1)
    about = {"model": backbone.name, "revision": backbone.revision}
    told = notes("soft" if soft else "prefix", backbone, folder, with_model=with_model)
    title = f"{'Prompt' if soft else 'Prefix'} of {prompt.length} vectors, a PEFT adapter"
    with new_folder(folder) as place:
        if with_model:
            write_model(backbone, place / MODEL)
        (place / README).write_text(card(title, about, told, use or {}), encoding="utf-8")
        config.save_pretrained(str(place))
        write_export(place / WEIGHTS, TENSOR, rows, {MARK: "peft", "mode": prompt.mode} | about)
    return folder


@torch.no_grad()
def to_prefix(prompt: Prompt, backbone: Backbone) -> Prompt:
    """The prompt of mode ``kv`` on all blocks that does what ``prompt`` does.

    Raises:
        InputError: if keys and values are not to be had in this model, or the prompt has none in
            some of its blocks.
    """
    if not _tells_keys(backbone):
        raise InputError(
            f"keys and values of model {backbone.name!r} ({backbone.model.config.model_type}) are "
            "not to be had\nExport the prompt itself: --to peft, or --to embeddings"
        )
    inserted = insert(backbone, prompt)
    values = {f"block.{i}": join_keys(pair).float() for i, pair in inserted.prefixes.items()}
    whole = {len(values.get(f"block.{i}", ())) for i in range(len(backbone.blocks))}
    if whole != {inserted.shift} or not values:
        raise InputError(
            f"mode {prompt.mode!r} at {', '.join(prompt.sites) or 'no site'} is no prefix of PEFT, "
            "which has as many keys and values in every block\n"
            "Exported can be a prompt that has them in all blocks: one with the site embed or "
            "block.0 of mode 'soft' or 'deep', or of mode 'kv' on all blocks"
        )
    return Prompt("kv", values)


def check_exportable(prompt: Prompt, backbone: Backbone) -> None:
    """Refuse a prompt that PEFT has no counterpart of.

    Raises:
        InputError: saying what can be exported.
    """
    blocks = {f"block.{i}" for i in range(len(backbone.blocks))}
    found = None
    if prompt.mode not in {"soft", "kv"}:
        found = f"mode {prompt.mode!r}"
    elif prompt.bos:
        found = "a prompt with bos = true (PEFT puts no first token before it)"
    elif prompt.mode == "kv" and backbone.seq2seq:
        found = "mode 'kv' of an encoder–decoder"
    elif prompt.mode == "kv" and set(prompt.sites) != blocks:
        found = f"mode 'kv' on {len(prompt.sites)} of {len(blocks)} blocks"
    if found is not None:
        raise InputError(
            f"{found} has no counterpart in PEFT\n"
            "Exported can be, with bos = false: mode 'soft' (PROMPT_TUNING) and mode 'kv' on all "
            "blocks of a decoder (PREFIX_TUNING); --to peft-prefix writes others' keys and values"
        )


def _library() -> Any:
    try:
        import peft
    except ImportError:
        raise InputError("this needs the library peft: pip install promptpriors[peft]") from None
    return peft


def _config_of(model: Any) -> Any:
    """The config of a PEFT model's active prompt."""
    if not isinstance(model, _library().PeftModel):
        raise InputError(
            f"expected a PEFT model with a prompt, found {type(model).__name__}\n"
            "Make one: peft.get_peft_model(model, peft.PromptTuningConfig(…))"
        )
    config = model.active_peft_config
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    check_kind(kind, "the model", (PROMPT, PREFIX, CARTRIDGE))
    if getattr(config, "prefix_projection", False):
        raise InputError(
            "the model's prefix is projected: a network makes it, and there are no keys and values "
            "to fill\nTake PrefixTuningConfig(prefix_projection=False)"
        )
    return config


def _check_sites(prior: Prior | Mapping[Site, Prior], sites: tuple[Site, ...]) -> None:
    """Refuse priors for other sites than the prompt has."""
    if isinstance(prior, Mapping) and set(prior) != set(sites):
        expected = sites[0] if len(sites) == 1 else f"{sites[0]} … {sites[-1]}"
        raise InputError(
            f"expected a prior for each of {expected} ({len(sites)}), found {', '.join(prior)}"
        )


def _check_width(rows: Float[Tensor, "length width"], expected: int, what: str) -> None:
    if rows.shape[1] != expected:
        raise InputError(
            f"the prior draws vectors of {rows.shape[1]} coordinates, this PEFT model takes "
            f"{expected} ({what})\nFit the prior to points of this model"
        )


def _tells_keys(backbone: Backbone) -> bool:
    """Whether the keys and values of rows before a text can be had from a model."""
    return not backbone.seq2seq and bool(backbone.blocks) and packs_exactly(backbone)


def _prefix_of(base: Any, prior: Prior, length: int, seed: int) -> Float[Tensor, "length width"]:
    """Keys and values of drawn embeddings in the frozen model, as rows of PEFT's weight."""
    kind = base.config.model_type
    backbone = Backbone(f"PEFT base ({kind})", "", base, None)
    embeddings = draw_prompt(prior, length=length, seed=seed).values["embed"]
    _check_width(embeddings, backbone.dim, "its embeddings' width")
    training = [module for module in base.modules() if module.training]
    base.eval()  # without dropout
    try:
        if not _tells_keys(backbone):
            raise InputError(
                f"one prior can't fill the prefix of this model ({kind}): its embeddings' keys and "
                'values are not to be had\nGive a prior for each block: {"block.0": prior, …}'
            )
        drawn = draw_prompt(prior, length=length, mode="kv", seed=seed, backbone=backbone)
    finally:
        for module in training:
            module.training = True
    return torch.cat(list(drawn.values.values()), dim=1)
