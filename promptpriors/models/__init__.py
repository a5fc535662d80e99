"""Hugging Face models as frozen backbones, their sites, and their vocabulary as a Space."""

from collections.abc import Callable

import torch

from promptpriors.errors import InputError
from promptpriors.models import hub, smollm2, tiny
from promptpriors.models.backbone import Backbone
from promptpriors.models.vocabulary import vocabulary

MODELS: dict[str, Callable[..., Backbone]] = {
    "smollm2": smollm2.load,
    "tiny": tiny.load,
}
"""Models by a name of ours; any other name is a hub id or a folder."""


def load_model(
    name: str,
    *,
    dtype: torch.dtype | str = "float32",
    device: torch.device | str = "cpu",
) -> Backbone:
    """Load a decoder-only language model, frozen and in eval mode.

    Args:
        name: a row of ``MODELS``, a hub id, or a folder with config, safetensors and tokenizer.
        dtype: of the weights; prompts stay float32.
        device: where the model runs.

    Returns:
        The backbone; ``.model`` and ``.tokenizer`` are the ordinary Hugging Face objects.

    Raises:
        InputError: for an unknown name, dtype or device, a folder without weights or tokenizer, an
            encoder–decoder, a tokenizer without an end token, or a hub that can't be reached.
    """
    kind = _dtype(dtype)
    if str(device) == "meta":
        raise InputError(
            "device 'meta' holds no numbers; expected a device such as 'cpu' or 'cuda'"
        )
    load = MODELS.get(name)
    backbone = hub.load(name, list(MODELS), dtype=kind) if load is None else load(dtype=kind)
    try:
        backbone.model.to(device)  # pyright: ignore[reportArgumentType]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {str(device)!r} can't be used here: {reason}") from None
    return backbone


def revision(name: str) -> str:
    """What exactly ``name`` means today, for a run's id: a version, commit or content hash.

    Raises:
        InputError: as ``load_model``.
    """
    if name in MODELS:
        return {"smollm2": smollm2.REVISION, "tiny": tiny.REVISION}[name]
    return hub.revision(name, list(MODELS))


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise InputError(f"dtype {dtype!r}: expected one of {', '.join(known)}")
    return known[dtype]


__all__ = ["MODELS", "Backbone", "load_model", "revision", "vocabulary"]
