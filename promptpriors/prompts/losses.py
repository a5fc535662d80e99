"""The loss of a prompt on examples: answer tokens only, logits at answer positions only."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, encode, logits_of, pack, packs_exactly, pad
from promptpriors.prompts import seq2seq
from promptpriors.prompts.insertion import behind, insert, root_rows
from promptpriors.prompts.prompt import Prompt
from promptpriors.prompts.readout import TokenLosses, read
from promptpriors.prompts.trunk import Trunk
from promptpriors.types import Example


def loss(
    backbone: Backbone, prompt: Prompt | None, examples: Sequence[Example]
) -> Float[Tensor, ""]:
    """Mean nats per target token over all examples, differentiable in the prompt.

    Args:
        backbone: the frozen model.
        prompt: what stands before every example; None for the plain model.
        examples: computed as one batch.

    Raises:
        InputError: without examples, if one is longer than the model's context, or if the prompt
            is not for this model.
    """
    if not examples:
        raise InputError("a loss needs at least one example")
    encoded = encode(backbone, examples, before=prompt.before if prompt else 0)
    return token_losses(backbone, prompt, encoded).nats.mean()


def token_losses(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    *,
    trunk: Trunk | None = None,
    checkpointing: bool = False,
) -> TokenLosses:
    """Losses of a batch, packed where that is exact and padded where it is not.

    An encoder–decoder's are padded too, and of the keywords none is for it.

    Args:
        backbone: the frozen model.
        prompt: None for the plain model.
        encoded: the batch.
        trunk: what the blocks below the prompt make of the batch, if it is kept.
        checkpointing: keep only what enters each block and compute it again in the backward pass.
    """
    if backbone.seq2seq:
        return seq2seq.losses(backbone, prompt, encoded)
    before = prompt.before if prompt else 0
    longest = before + max(example.read for example in encoded)
    if not packs_exactly(backbone, longest=longest):
        return padded_losses(backbone, prompt, encoded)
    return packed_losses(backbone, prompt, encoded, trunk=trunk, checkpointing=checkpointing)


def packed_losses(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    *,
    trunk: Trunk | None = None,
    checkpointing: bool = False,
) -> TokenLosses:
    """Losses from one packed row in which every node of the tree is computed once."""
    row = pack(encoded)
    inserted = insert(backbone, prompt, in_front=True)
    logits = logits_of(
        backbone,
        row,
        inserted.prefixes,
        shift=inserted.shift,
        root=inserted.root,
        entry=trunk.entry(encoded, row) if trunk else None,
        checkpointing=checkpointing,
    )
    computed = len(row.tokens) + inserted.rows
    return read(logits, row.slot, row.targets, row.owner, computed=computed)


def padded_losses(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> TokenLosses:
    """The same losses from a padded rectangle, each line with its own copy of a soft prompt."""
    box, root = pad(encoded), root_rows(backbone, prompt)
    given = behind(backbone, root, box.tokens, box.mask)
    logits = backbone.model(**given, use_cache=False).logits[box.line, len(root) + box.read]
    every = torch.arange(len(box.targets))
    return read(logits, every, box.targets, box.line, computed=given["attention_mask"].numel())
