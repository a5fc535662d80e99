"""Hugging Face models as frozen backbones, their sites, and their vocabulary as a Space."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from promptpriors.errors import InputError, unknown
from promptpriors.models import hub, smollm2, tiny, tiny_t5
from promptpriors.models.backbone import Backbone
from promptpriors.models.vocabulary import vocabulary

OURS = {"smollm2": smollm2, "tiny": tiny, "tiny-t5": tiny_t5}
MODELS: dict[str, Callable[..., Backbone]] = {name: module.load for name, module in OURS.items()}
"""Models by a name of ours; any other name is a hub id or a folder."""

MODEL_NOTES = {
    "smollm2": "SmolLM2-135M-Instruct, dequantised from 4-bit (Q4_1) weights, instruction-tuned",
    "tiny": "a randomly initialised model for tests: numbers from it mean nothing",
}
"""Cautions about models, shown beside their figures."""


Attention = Literal["auto", "blocks", "dense", "flex"]
"""Ways in which attention over a packed row is computed: rows of ``packing.KERNELS``, or auto."""


@dataclass(frozen=True)
class ModelSpec:
    """Name of a model with its precision, device and kernel, as ``load_model`` takes them."""

    model: str
    dtype: str = "float32"
    device: str = "cpu"
    device_map: str | None = None
    attention: str = "auto"


def load_model(
    name: str,
    *,
    dtype: torch.dtype | str = "float32",
    device: torch.device | str = "cpu",
    device_map: str | None = None,
    attention: str = "auto",
    reading: bool = False,
) -> Backbone:
    """Load a language model, a decoder or an encoder–decoder, frozen and in eval mode.

    Args:
        name: a row of ``MODELS``, a hub id, or a folder with config, safetensors and tokenizer.
        dtype: of the weights; prompts stay float32.
        device: where the model runs.
        device_map: how a model that is larger than a device is spread over several, as accelerate
            takes it ("auto" …); then ``device`` does not matter.
        attention: how attention over a packed row is computed: "auto" (blocks on the CPU, dense
            elsewhere), or a row of ``packing.KERNELS``.
        reading: whether its activations are all that is wanted; then an encoder such as BERT will
            do as well.

    Returns:
        The backbone; ``.model`` and ``.tokenizer`` are the ordinary Hugging Face objects.

    Raises:
        InputError: for an unknown name, dtype or device, a folder without weights or tokenizer, a
            model that is neither causal nor an encoder–decoder, a tokenizer without an end token,
            or a hub that can't be reached.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    kind = dtype if isinstance(dtype, torch.dtype) else known.get(dtype)
    if kind is None:
        raise InputError(f"dtype {dtype!r}: expected one of {', '.join(known)}")
    if attention not in get_args(Attention):
        raise unknown("attention", attention, get_args(Attention))
    if str(device) == "meta":
        raise InputError(
            "device 'meta' holds no numbers; expected a device such as 'cpu' or 'cuda'"
        )
    if name not in MODELS:
        backbone = hub.load(name, list(MODELS), dtype=kind, device_map=device_map, reading=reading)
    elif device_map is not None:
        raise InputError(f"device_map: model {name!r} fits on one device; leave it out")
    else:
        backbone = MODELS[name](dtype=kind)
    backbone = replace(backbone, attention=attention)
    if device_map is not None:
        return backbone
    try:
        backbone.model.to(device)  # pyright: ignore[reportArgumentType]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {str(device)!r} can't be used here: {reason}") from None
    return backbone


def count_blocks(name: str) -> int:
    """Number of blocks of a model whose sites are known, from its config alone; else 0.

    Raises:
        InputError: as ``load_model``.
    """
    return OURS[name].BLOCKS if name in OURS else hub.count_blocks(name, list(MODELS))


def revision(name: str) -> str:
    """Version, commit or content hash of what ``name`` means today, for a run's id.

    Raises:
        InputError: as ``load_model``.
    """
    return OURS[name].REVISION if name in OURS else hub.revision(name, list(MODELS))


__all__ = [
    "MODELS",
    "Attention",
    "Backbone",
    "ModelSpec",
    "count_blocks",
    "load_model",
    "revision",
    "vocabulary",
]
