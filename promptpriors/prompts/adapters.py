"""Adapter folders of PEFT, read without its library: JSON and safetensors alone."""

from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_json
from promptpriors.prompts.exports import CONFIG, WEIGHTS
from promptpriors.prompts.prompt import Prompt

PROMPT, PREFIX = "PROMPT_TUNING", "PREFIX_TUNING"
PICKLE = "adapter_model.bin"
TENSOR = "prompt_embeddings"
"""The name that PEFT gives to its only tensor."""


def load(folder: str | Path) -> Prompt:
    """Read a PEFT prompt or prefix adapter; the library peft is not needed.

    Its vectors can be points that a prior is fitted to, as those of any prompt::

        prompt = pp.peft.load(folder)
        space = pp.Space(site="embed", points=prompt.values["embed"].detach())
        prior = pp.fit_prior("gaussian", space)

    Args:
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors``.

    Returns:
        A prompt of mode ``soft``, or of mode ``kv`` on all blocks. Of an encoder–decoder's prompt,
        the vectors that stand before the encoder's text.

    Raises:
        InputError: if the adapter is of another kind, its prefix is projected or an
            encoder–decoder's, or a file is missing, damaged or a pickle.
    """
    folder = Path(folder)
    config = _read_config(folder)
    prefix = config["peft_type"] == PREFIX
    names = ("num_virtual_tokens", "token_dim", *(("num_layers",) if prefix else ()))
    sizes: list[Any] = [config.get(name) for name in names]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise InputError(
            f"{folder / CONFIG} does not say how large the prompt is: expected a number for each "
            f"of {', '.join(names)}; found {sizes}"
        )
    length, width, *blocks = map(int, sizes)
    rows = _read_weights(folder)
    copies = 1 if prefix else config.get("num_transformer_submodules") or 1
    expected = [length * copies, 2 * blocks[0] * width if prefix else width]
    if list(rows.shape) != expected:
        raise InputError(
            f"{folder} is damaged: its config tells of {TENSOR} {expected}, "
            f"found {list(rows.shape)}"
        )
    if not prefix:
        return Prompt("soft", {"embed": rows[:length]})
    parts = rows.chunk(blocks[0], dim=1)
    return Prompt("kv", {f"block.{i}": part for i, part in enumerate(parts)})


def check_kind(kind: str, what: str) -> None:
    """Refuse a PEFT type that has no prompt of ours.

    Raises:
        InputError: naming the two that have.
    """
    if kind not in {PROMPT, PREFIX}:
        raise InputError(
            f"{what} is of the PEFT type {kind}; expected {PROMPT} or {PREFIX} "
            "(PromptTuningConfig, PrefixTuningConfig)"
        )


def _read_config(folder: Path) -> dict[str, Any]:
    """The config of an adapter folder, if we can read such an adapter."""
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is not a PEFT adapter folder: it has no {CONFIG}")
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise InputError(f"{path} is not the config of a PEFT adapter: it has no peft_type")
    check_kind(config["peft_type"], f"the adapter {folder}")
    if config["peft_type"] == PREFIX:
        if config.get("prefix_projection"):
            raise InputError(
                f"the prefix in {folder} is projected: a network makes it; expected an adapter "
                "trained with prefix_projection=False"
            )
        if config.get("task_type") == "SEQ_2_SEQ_LM":
            raise InputError(
                f"the prefix in {folder} is an encoder–decoder's, which no mode of ours is; "
                f"expected a causal model's prefix, or {PROMPT}"
            )
    return config


def _read_weights(folder: Path) -> Float[Tensor, "rows width"]:
    """The only tensor of an adapter."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickle = (folder / PICKLE).exists()
        hint = f"; {PICKLE} is a pickle, which is never read: save it again with PEFT"
        raise InputError(f"{path}: no such file{hint if pickle else ''}")
    try:
        found = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or not a safetensors file: {error}") from None
    rows = found.get(TENSOR)
    if rows is None or len(found) > 1 or rows.ndim != 2 or not rows.is_floating_point():
        raise InputError(
            f"{path}: expected one tensor, {TENSOR} [tokens, width], found {', '.join(found)}"
        )
    return rows
