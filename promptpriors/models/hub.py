"""Any language model by hub id or folder. Nothing read from either is executed."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from promptpriors.errors import InputError, suggest
from promptpriors.files import read_json
from promptpriors.models.backbone import Backbone, freeze
from promptpriors.models.sites import ENCODERS, LAYOUTS
from promptpriors.paths import expand

FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""What is taken from a hub: no pickles, no code."""
NO_CODE = {"trust_remote_code": False}
"""Given to every loader: without it transformers asks on stdin whether to run a folder's code."""
PROBE = 10
"""Tokens by which a model is asked whether it looks ahead, or what it makes of embeddings."""


def load(
    name: str,
    rows: list[str],
    *,
    dtype: torch.dtype,
    device_map: str | None = None,
    reading: bool = False,
) -> Backbone:
    """Load config, safetensors and tokenizer from a folder or from the hub.

    Without a network a model that the hub's own cache holds is taken from there. For ``reading``,
    that is for capture alone, an encoder without a decoder will do.

    Raises:
        InputError: if one of them is missing or damaged, the hub can't be reached, or the model is
            neither causal nor an encoder–decoder that can be given embeddings.
    """
    folder = _folder(name, rows, FILES)
    config = _config(name, folder)
    kind = "encoder–decoder" if config.is_encoder_decoder else "decoder"
    if reading and kind == "decoder" and config.model_type in ENCODERS:
        kind = "encoder"
    model = _weights(name, folder, dtype, device_map, kind=kind)
    if kind == "decoder":
        _check_causal(name, model)
    elif kind == "encoder–decoder":
        _check_encoder(name, model)
    tokenizer = _tokenizer(name, folder)
    size = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > size:
        raise InputError(
            f"model {name!r} has {size} embeddings and its tokenizer {len(tokenizer)} tokens; "
            "they do not belong together"
        )
    return freeze(name, revision(name, rows), model, tokenizer)


def revision(name: str, rows: list[str]) -> str:
    """SHA-256 of a folder's JSON, text and weight files by name; the commit of a hub id.

    Raises:
        InputError: if the hub does not know it, or can't be reached and there is no copy.
    """
    folder = expand(name, "model =")
    if not folder.is_dir():
        return _folder(name, rows, ["config.json"]).name
    digest = hashlib.sha256()
    for path in sorted(p for pattern in FILES for p in folder.glob(pattern) if p.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def count_blocks(name: str, rows: list[str]) -> int:
    """Number of blocks that the config of a folder or hub id tells of.

    0 for an unknown architecture and for encoder–decoders, whose blocks are no sites.

    Raises:
        InputError: as ``load``.
    """
    config = _config(name, _folder(name, rows, ["config.json"]))
    return config.num_hidden_layers if config.model_type in LAYOUTS else 0


def _folder(name: str, rows: list[str], patterns: list[str]) -> Path:
    """The folder, or the cached copy of the hub's newest version, whose name is the commit."""
    import huggingface_hub

    local = expand(name, "model =")
    if local.is_dir():
        return local
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"model folder {name} does not exist")
    refusal = InputError(
        f"model {name!r} is not one of {', '.join(rows)}, not a folder, and can't be had from the "
        f"hub.{suggest(name, rows)}\nWithout a network, point to a folder: model=/path/to/folder "
        "with config.json, model.safetensors and tokenizer.json"
    )
    if "/" not in name and suggest(name, rows):
        raise refusal
    where: dict[str, Any]
    try:
        where = {"revision": huggingface_hub.model_info(name, timeout=10).sha}
    except huggingface_hub.errors.RepositoryNotFoundError:
        raise refusal from None
    except Exception:  # every transport has errors of its own
        where = {"local_files_only": True}
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns, **where))
    except Exception:  # as above
        raise refusal from None


def _config(name: str, folder: Path) -> Any:
    from transformers.models.auto.configuration_auto import AutoConfig

    _check_files(name, folder)
    try:
        return AutoConfig.from_pretrained(folder, **NO_CODE)
    except Exception as error:  # configs check themselves with errors of their own
        _refuse_code(name, error)
        raise InputError(f"folder {name} is not a model folder: {_first(error)}") from None


def _weights(
    name: str, folder: Path, dtype: torch.dtype, device_map: str | None, *, kind: str
) -> Any:
    """The model, all of its weights read from safetensors."""
    from transformers.models.auto.modeling_auto import (
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
    )

    auto, what = {
        "decoder": (AutoModelForCausalLM, "a causal language model"),
        "encoder–decoder": (AutoModelForSeq2SeqLM, "an encoder–decoder language model"),
        "encoder": (AutoModel, "an encoder"),
    }[kind]

    wanted: dict[str, Any] = {"dtype": dtype, "device_map": device_map, "use_safetensors": True}
    wanted |= NO_CODE
    load = partial(auto.from_pretrained, folder, output_loading_info=True, **wanted)
    try:
        try:
            model, found = load(attn_implementation="sdpa")
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            model, found = load(attn_implementation="eager")  # outside of our attention
    except Exception as error:  # readers of weights raise errors of their own
        _refuse_code(name, error)
        raise InputError(
            f"the weights of model {name!r} can't be read ({_first(error)}); "
            f"expected model.safetensors of {what}"
        ) from None
    optional = ("pooler.",) if kind == "encoder" else ()  # made of the encoder's output
    if missing := sorted(k for k in found["missing_keys"] if not k.startswith(optional)):
        raise InputError(
            f"the weights of model {name!r} are incomplete: {missing[0]} is missing, and "
            f"{len(missing) - 1} more; expected all weights of {what}{_hint(model)}"
        )
    return model


@torch.no_grad()
def _check_causal(name: str, model: Any) -> None:
    """Refuse a model whose earlier logits change with the last token: it would see the answers."""
    size = model.get_input_embeddings().num_embeddings
    ids = torch.arange(PROBE)[None] % size
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % size
    device = model.get_input_embeddings().weight.device
    here, there = (
        model(input_ids=row.to(device), use_cache=False).logits[0, :-1].float()
        for row in (ids, other)
    )
    if not (here - there).abs().max() <= 1e-5 * here.abs().max():
        raise InputError(
            f"model {name!r} ({model.config.model_type}) is not causal: it looks at later tokens, "
            f"so a loss would see the answers; expected a decoder-only language model{_hint(model)}"
        )


def _hint(model: Any) -> str:
    """What an encoder is good for."""
    hint = "\nAn encoder's activations can be captured: promptpriors capture"
    return hint if model.config.model_type in ENCODERS else ""


@torch.no_grad()
def _check_encoder(name: str, model: Any) -> None:
    """Refuse an encoder–decoder that can't be started, or does more to ids than embed them."""
    kind = model.config.model_type
    if getattr(model.config, "decoder_start_token_id", None) is None:
        raise InputError(
            f"the config of model {name!r} ({kind}) does not say what its decoder starts from; "
            "set decoder_start_token_id in its config.json (T5's is its pad_token_id)"
        )
    embeddings = model.get_input_embeddings()
    ids = (torch.arange(PROBE)[None] % embeddings.num_embeddings).to(embeddings.weight.device)
    encoder = model.get_encoder()
    expected = encoder(input_ids=ids).last_hidden_state.float()
    try:
        found = encoder(inputs_embeds=embeddings(ids)).last_hidden_state.float()
    except Exception as error:  # foreign models fail in ways of their own
        raise InputError(
            f"the encoder of model {name!r} ({kind}) can't be called on embeddings "
            f"({_first(error)}), so no prompt can stand before a text; expected one such as T5's"
        ) from None
    if not (found - expected).abs().max() <= 1e-5 * expected.abs().max():
        raise InputError(
            f"model {name!r} ({kind}) does more to tokens than look up their embeddings, so a "
            "prompt can't stand beside them; expected an encoder such as T5's"
        )


def _tokenizer(name: str, folder: Path) -> Any:
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, **NO_CODE)
    except Exception as error:  # tokenizers raise bare Exceptions
        _refuse_code(name, error)
        raise InputError(
            f"model {name!r} has no tokenizer that can be read ({_first(error)}); expected "
            "tokenizer.json and tokenizer_config.json beside config.json"
        ) from None


def _check_files(name: str, folder: Path) -> None:
    """Refuse what would make transformers read another model, or kernels that are code of a hub."""
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"model {name!r} holds a PEFT adapter (adapter_config.json), whose base model would be "
            "read in its place; give the folder of a whole model"
        )
    path = folder / "config.json"
    for kernel in _kernels(read_json(path)) if path.is_file() else ():
        raise InputError(
            f"the config of model {name!r} asks for the attention kernel {kernel!r}, which is code "
            "of a hub, and nothing read from a model is executed\nTake it out of config.json"
        )


def _kernels(config: Any) -> Iterator[str]:
    """Attention kernels that a config, or one inside it, takes from a hub."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key.endswith("attn_implementation") and "/" in str(value):
                yield str(value)
            elif isinstance(value, dict):
                yield from _kernels(value)


def _refuse_code(name: str, error: Exception) -> None:
    """Say in our own words that a model needs code of its own, if that is the error."""
    if "trust_remote_code" in str(error):
        raise InputError(
            f"model {name!r} brings Python code of its own (auto_map), and nothing read from a "
            "model is executed\nExpected an architecture and a tokenizer of transformers' own"
        ) from None


def _first(error: Exception) -> str:
    """The first sentence of a foreign message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(". ")[0][:160]
