"""Adapter folders of PEFT, read without its library: JSON and safetensors alone."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_json
from promptpriors.prompts.exports import CONFIG, WEIGHTS
from promptpriors.prompts.prompt import Prompt

PROMPT, PREFIX, CARTRIDGE = "PROMPT_TUNING", "PREFIX_TUNING", "CARTRIDGE"
MULTITASK = "MULTITASK_PROMPT_TUNING"
KINDS = {
    PROMPT: "soft",
    "P_TUNING": "soft",
    "CPT": "soft",
    MULTITASK: "soft",
    PREFIX: "kv",
    CARTRIDGE: "kv",
}
"""Mode of the prompt in an adapter, by PEFT type: what a network makes is saved as its result."""
PICKLE = "adapter_model.bin"
TENSOR = "prompt_embeddings"
"""The name that PEFT gives to the vectors."""
COLUMNS, ROWS = "prefix_task_cols", "prefix_task_rows"
"""The factors of each task's multipliers, ``[tasks, vectors, rank]`` and ``[tasks, rank, width]``.
The vectors of all tasks are multiplied by them, number by number."""
TENSORS = {TENSOR: 2, COLUMNS: 3, ROWS: 3}
"""Tensors of a multitask adapter, with their dimensions."""
SEQ2SEQ = "SEQ_2_SEQ_LM"


def load(folder: str | Path, *, task: int | None = None) -> Prompt:
    """Read a PEFT prompt or prefix adapter; the library peft is not needed.

    Its vectors can be points that a prior is fitted to, as those of any prompt::

        prompt = pp.peft.load(folder)
        space = pp.Space(site="embed", points=prompt.values["embed"].detach())
        prior = pp.fit_prior("gaussian", space)

    Args:
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors``, of a type in
            ``KINDS``: PromptTuning, P-tuning, CPT, multitask prompt tuning, PrefixTuning (with a
            projection too), Cartridge.
        task: which task's prompt, from 0, of an adapter of multitask prompt tuning; needed where it
            has several.

    Returns:
        A prompt of mode ``soft``, or of mode ``kv`` on all blocks. Of an encoder–decoder's prompt,
        the vectors that stand before the encoder's text.

    Raises:
        InputError: if the adapter is of another kind, its vectors stand before an encoder–decoder's
            decoder, it has no such task, or a file is missing, damaged or a pickle.
    """
    folder = Path(folder)
    config = _read_config(folder)
    kind = config["peft_type"]
    length, width, *blocks = _sizes(folder, config)
    found = _read_weights(folder, TENSORS if kind == MULTITASK else {TENSOR: 2})
    copies = _copies(folder, config)
    expected = {TENSOR: [length * copies, 2 * blocks[0] * width if blocks else width]}
    if kind == MULTITASK:
        tasks, rank = len(found[COLUMNS]), found[COLUMNS].shape[-1]
        expected |= {COLUMNS: [tasks, length * copies, rank], ROWS: [tasks, rank, width]}
    for name, shape in expected.items():
        if list(found[name].shape) != shape:
            raise InputError(
                f"{folder} is damaged: its config tells of {name} {shape}, "
                f"found {list(found[name].shape)}"
            )
    rows = found[TENSOR]
    if kind == MULTITASK:
        chosen = _task(folder, task, len(found[COLUMNS]))
        rows = rows * (found[COLUMNS][chosen] @ found[ROWS][chosen])
    elif task is not None:
        raise InputError(
            f"task={task!r}: the adapter {folder} ({kind}) has one prompt; leave it out"
        )
    if not rows.isfinite().all():
        raise InputError(f"{folder / WEIGHTS} holds NaN or infinity: its training diverged")
    if not blocks:
        return Prompt("soft", {"embed": rows[:length]})
    parts = rows.chunk(blocks[0], dim=1)
    return Prompt("kv", {f"block.{i}": part for i, part in enumerate(parts)})


def check_kind(kind: str, what: str, kinds: Collection[str] = tuple(KINDS)) -> None:
    """Refuse a PEFT type that is not one of ``kinds``.

    Raises:
        InputError: naming those.
    """
    if kind not in kinds:
        *first, last = kinds
        raise InputError(
            f"{what} is of the PEFT type {kind}; expected {', '.join(first)} or {last}"
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
    if KINDS[config["peft_type"]] == "kv" and config.get("task_type") == SEQ2SEQ:
        raise InputError(
            f"the prefix in {folder} is an encoder–decoder's, which no mode of ours is; "
            f"expected a causal model's prefix, or {PROMPT}"
        )
    return config


def _sizes(folder: Path, config: Mapping[str, Any]) -> list[int]:
    """Vectors, their width and, of a prefix, blocks."""
    prefix = KINDS[config["peft_type"]] == "kv"
    names = ("num_virtual_tokens", "token_dim", *(("num_layers",) if prefix else ()))
    sizes = [config.get(name) for name in names]
    known = [size for size in sizes if type(size) is int and size > 0]
    if len(known) < len(names):
        raise InputError(
            f"{folder / CONFIG} does not say how large the prompt is: expected a number for each "
            f"of {', '.join(names)}; found {sizes}"
        )
    return known


def _copies(folder: Path, config: Mapping[str, Any]) -> int:
    """Stacks that lie in the tensor: an encoder–decoder's may have a second, which PEFT ignores."""
    seq2seq, kind = config.get("task_type") == SEQ2SEQ, config["peft_type"]
    stacks = config.get("num_transformer_submodules")
    if stacks is None:
        stacks = 2 if seq2seq else 1
    allowed = (1, 2) if seq2seq and kind != MULTITASK else (1,)
    if type(stacks) is not int or stacks not in allowed:
        raise InputError(
            f"the adapter {folder} ({kind}) has vectors for {stacks!r} stacks "
            f"(num_transformer_submodules); expected {' or '.join(map(str, allowed))}: "
            "no mode of ours puts vectors elsewhere than before the text"
        )
    return stacks


def _task(folder: Path, task: int | None, tasks: int) -> int:
    """The task whose prompt is read."""
    if task is None and tasks == 1:
        return 0
    if type(task) is not int or not 0 <= task < tasks:
        found = "none was named" if task is None else f"found {task!r}"
        raise InputError(
            f"the adapter {folder} has prompts for {tasks} tasks; {found}\n"
            f"Name one, from 0 to {tasks - 1}: pp.peft.load(folder, task=0)"
        )
    return task


def _read_weights(folder: Path, names: Mapping[str, int]) -> dict[str, Tensor]:
    """The tensors of an adapter, of so many dimensions by name, in float32 as PEFT reads them."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickle = (folder / PICKLE).exists()
        hint = f"; {PICKLE} is a pickle, which is never read: save it again with PEFT"
        raise InputError(f"{path}: no such file{hint if pickle else ''}")
    try:
        found = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or not a safetensors file: {error}") from None
    fits = {name: t.ndim for name, t in found.items() if t.is_floating_point()} == names
    if not fits or len(found) > len(names):
        seen = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in found.items())
        several = f"{len(names)} tensors, {', '.join(names)}"
        expected = f"one tensor, {TENSOR} [tokens, width]" if len(names) == 1 else several
        raise InputError(
            f"{path}: expected {expected}, found {seen or 'nothing'}\n"
            "A prompt alone is read; weights that were trained beside it would be lost"
        )
    return {name: tensor.float() for name, tensor in found.items()}
