"""A prompt in front of a text: as keys and values block by block, or as rows at the input."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Prefix
from promptpriors.prompts.modes import MODES, check_prompt, shift_of
from promptpriors.prompts.prompt import Prompt

INPUT = ("none", "soft")
"""Modes whose prompts are rows at the input."""


class Inserted(NamedTuple):
    """Rows, keys and values that stand before the text.

    Attributes:
        prefixes: keys and values by block, differentiable in the prompt.
        shift: the position of a text's first token.
        rows: rows of the prompt that run through the network.
        root: rows at the input, for a prompt that is to run in front of the text.
    """

    prefixes: dict[int, Prefix]
    shift: int
    rows: int
    root: Float[Tensor, "before dim"] | None = None


def insert(backbone: Backbone, prompt: Prompt | None, *, in_front: bool = False) -> Inserted:
    """Keys and values of a prompt in every block where the text sees it.

    Args:
        backbone: the frozen model.
        prompt: None for the plain model.
        in_front: whether a prompt that is rows at the input is given as such: one call of the
            model is faster than two.

    Raises:
        InputError: if the prompt is not for this model, or wants a first token that the tokenizer
            does not have.
    """
    if prompt is None:
        return Inserted({}, 0, 0)
    values = prompt.values
    check_prompt(prompt.mode, values, backbone)
    if in_front and prompt.mode in INPUT:
        return Inserted({}, prompt.before, prompt.before, root_rows(backbone, prompt))
    bos = _first_token(backbone, prompt)
    prefixes = MODES[prompt.mode].prefixes(values, backbone, bos)
    shift = shift_of(values, backbone, prompt.before, len(bos))
    return Inserted(prefixes, shift, 0 if prompt.mode == "kv" else prompt.before)


def root_rows(backbone: Backbone, prompt: Prompt | None) -> Float[Tensor, "before dim"]:
    """Input embeddings of the rows before the text, for models that can only be given those.

    Raises:
        InputError: for a mode that is no rows at the input, and as ``insert``.
    """
    empty = torch.zeros(0, backbone.dim, device=backbone.device)
    if prompt is None:
        return empty
    check_prompt(prompt.mode, prompt.values, backbone)
    if prompt.mode not in INPUT:
        raise InputError(f"mode {prompt.mode!r} can't be padded: it is no rows at the input")
    return torch.cat([_first_token(backbone, prompt), prompt.values.get("embed", empty)])


def behind(
    backbone: Backbone,
    root: Float[Tensor, "before dim"],
    ids: Int[Tensor, "batch time"],
    known: Bool[Tensor, "batch time"],
) -> dict[str, Tensor]:
    """Model inputs for padded lines, each with its own copy of ``root`` in front."""
    hidden = torch.cat([root.expand(len(ids), -1, -1), backbone.embed(ids)], dim=1)
    mask = torch.cat([known.new_ones(len(ids), len(root)), known], dim=1).long()
    return {
        "inputs_embeds": hidden.to(backbone.dtype),
        "attention_mask": mask.to(backbone.device),
    }


def _first_token(backbone: Backbone, prompt: Prompt) -> Float[Tensor, "bos dim"]:
    """The first token's embedding, where the prompt wants one."""
    if not prompt.bos:
        return torch.zeros(0, backbone.dim, device=backbone.device)
    first = backbone.tokenizer.bos_token_id
    if first is None:
        raise InputError(f"prompt.bos: the tokenizer of model {backbone.name!r} has no first token")
    return backbone.embed(torch.tensor([first])).float()
