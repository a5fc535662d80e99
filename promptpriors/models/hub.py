"""Any decoder-only model by hub id or folder. Nothing read from either is executed."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from promptpriors.errors import InputError, suggest
from promptpriors.models.backbone import Backbone, freeze


def load(name: str, rows: list[str], *, dtype: torch.dtype) -> Backbone:
    """Load config, safetensors and tokenizer from a folder or from the hub.

    Without a network a model that the hub's own cache holds is taken from there.

    Raises:
        InputError: if one of them is missing, the hub can't be reached, or the model is not
            decoder-only.
    """
    from transformers import AutoConfig, AutoTokenizer

    where = {} if Path(name).is_dir() else _where(name, rows)
    try:
        config = AutoConfig.from_pretrained(name, **where)
    except (OSError, ValueError) as error:
        raise _missing(name, rows, error) from None
    if config.is_encoder_decoder:
        raise InputError(
            f"model {name!r} is an encoder–decoder ({config.model_type}); expected a decoder only"
        )
    model = _weights(name, dtype, where)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
    except Exception as error:  # tokenizers raise bare Exceptions
        raise InputError(
            f"model {name!r} has no tokenizer that can be read ({_first(error)}); expected "
            "tokenizer.json and tokenizer_config.json beside config.json"
        ) from None
    found = str(config._commit_hash) if where else content_hash(Path(name))
    return freeze(name, found, model, tokenizer)


def commit(name: str, rows: list[str]) -> str:
    """The commit that a hub id stands at, or that of the copy in the hub's cache.

    Raises:
        InputError: if the hub does not know it, or can't be reached and there is no copy.
    """
    from transformers import AutoConfig

    try:
        return str(AutoConfig.from_pretrained(name, **_where(name, rows))._commit_hash)
    except (OSError, ValueError) as error:
        raise _missing(name, rows, error) from None


def _where(name: str, rows: list[str]) -> dict[str, Any]:
    """The hub's newest commit, or its cache alone when the hub can't be reached."""
    import huggingface_hub

    if _is_path(name) or ("/" not in name and suggest(name, rows)):
        raise _missing(name, rows, OSError())
    try:
        return {"revision": huggingface_hub.model_info(name, timeout=10).sha}
    except huggingface_hub.errors.RepositoryNotFoundError:
        raise _missing(name, rows, OSError()) from None
    except Exception:  # every transport has errors of its own
        return {"local_files_only": True}


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's JSON, text and weight files."""
    digest = hashlib.sha256()
    kinds = {".json", ".safetensors", ".model", ".txt", ".jinja"}
    for path in sorted(p for p in folder.iterdir() if p.suffix in kinds and p.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _weights(name: str, dtype: torch.dtype, where: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    def load(attention: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, attn_implementation=attention, use_safetensors=True, **where
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
    if _is_path(name):
        return InputError(f"model folder {name} does not exist")
    return InputError(
        f"model {name!r} is not one of {', '.join(rows)}, not a folder, and can't be had from the "
        f"hub.{suggest(name, rows)}\nWithout a network, point to a folder: model=/path/to/folder "
        "with config.json, model.safetensors and tokenizer.json"
    )


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _first(error: Exception) -> str:
    """The first sentence of a foreign message."""
    return str(error).strip().splitlines()[0].split(". ")[0][:160]
