"""Any decoder-only model by hub id or folder. Nothing read from either is executed."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from promptpriors.errors import InputError, suggest
from promptpriors.models.backbone import Backbone, freeze


def load(name: str, rows: list[str], *, dtype: torch.dtype) -> Backbone:
    """Load config, safetensors and tokenizer from a folder or from the hub.

    Raises:
        InputError: if one of them is missing, the hub can't be reached, or the model is not
            decoder-only.
    """
    from transformers import AutoConfig, AutoTokenizer

    local = Path(name).is_dir()
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _missing(name, rows, error) from None
    if config.is_encoder_decoder:
        raise InputError(
            f"model {name!r} is an encoder–decoder ({config.model_type}); expected a decoder-only one"
        )
    model = _weights(name, dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:  # tokenizers raise bare Exceptions
        place = f"folder {name}" if local else f"model {name!r}"
        raise InputError(
            f"{place} has no tokenizer that can be read ({_first(error)}); expected tokenizer.json "
            "and tokenizer_config.json beside config.json"
        ) from None
    found = content_hash(Path(name)) if local else str(config._commit_hash or name)  # noqa: SLF001
    return freeze(name, found, model, tokenizer)


def commit(name: str, rows: list[str]) -> str:
    """The commit that a hub id stands at.

    Raises:
        InputError: if the hub does not know it or can't be reached.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _missing(name, rows, error) from None
    return str(config._commit_hash or name)  # noqa: SLF001


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's JSON, text and weight files."""
    digest = hashlib.sha256()
    kinds = {".json", ".safetensors", ".model", ".txt", ".jinja"}
    for path in sorted(p for p in folder.iterdir() if p.suffix in kinds and p.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _weights(name: str, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    def load(attention: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, attn_implementation=attention, use_safetensors=True
        )

    try:
        try:
            return load("sdpa")
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            return load("eager")  # such a model runs as padded batches
    except (OSError, ValueError) as error:
        raise InputError(
            f"the weights of model {name!r} can't be read ({_first(error)}); "
            "expected model.safetensors of a causal language model"
        ) from None


def _missing(name: str, rows: list[str], error: Exception) -> InputError:
    """Why a config could not be had: no folder, not a model folder, or no hub."""
    folder = Path(name)
    if folder.is_dir():
        return InputError(f"folder {name} is not a model folder: {_first(error)}")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return InputError(f"model folder {name} does not exist")
    return InputError(
        f"model {name!r} is not one of {', '.join(rows)}, not a folder, and can't be had from the hub."
        f"{suggest(name, rows)}\nWithout a network, point to a folder: model=/path/to/folder with "
        "config.json, model.safetensors and tokenizer.json"
    )


def _first(error: Exception) -> str:
    """The first sentence of a foreign message."""
    return str(error).strip().splitlines()[0].split(". ")[0][:160]
