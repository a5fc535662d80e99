"""The loss of a prompt on examples: answer tokens only, logits at answer positions only."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import (
    Encoded,
    encode,
    logits_of,
    pack,
    packs_exactly,
    pad,
    plain_logits,
    way_of,
)
from promptpriors.prompts import seq2seq
from promptpriors.prompts.insertion import INPUT, behind, insert, root_rows
from promptpriors.prompts.modes import check_prompt
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
    sides = [backbone.side(before + example.read + 1) for example in encoded]
    if len(set(sides)) < 2:
        return _one_side(backbone, prompt, encoded, trunk, checkpointing)
    parts = [[i for i, side in enumerate(sides) if side == one] for one in sorted(set(sides))]
    found = [
        _one_side(backbone, prompt, [encoded[i] for i in part], None, checkpointing)
        for part in parts
    ]
    owner = torch.cat([torch.tensor(p)[x.owner] for p, x in zip(parts, found, strict=True)])
    order = owner.argsort(stable=True)
    return TokenLosses(
        torch.cat([losses.nats for losses in found])[order],
        torch.cat([losses.correct for losses in found])[order],
        owner[order],
        sum(losses.computed for losses in found),
    )


def _one_side(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    trunk: Trunk | None,
    checkpointing: bool,
) -> TokenLosses:
    """Losses of examples whose rotations are alike.

    Rotations are those of a call on the whole text, of which the last token is not read here.
    """
    before = prompt.before if prompt else 0
    longest = before + max(example.read for example in encoded)
    check_way(backbone, prompt, encoded)
    if backbone.side(longest + 1) != backbone.side(longest):
        return single_losses(backbone, prompt, encoded)
    way = way_of(backbone, longest=longest)
    if way == "packed":
        return packed_losses(backbone, prompt, encoded, trunk=trunk, checkpointing=checkpointing)
    return (padded_losses if way == "padded" else single_losses)(backbone, prompt, encoded)


def check_way(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded], *, more: int = 0
) -> None:
    """Refuse examples that a prompt can't be put before exactly.

    Args:
        backbone: the frozen model.
        prompt: None for the plain model.
        encoded: the examples; none are fine.
        more: tokens that may be generated after a source.

    Raises:
        InputError: naming the longest example, for a prompt that is more than rows at the input
            and a model that computes texts of that length otherwise than in packed rows.
    """
    if prompt is None or prompt.mode in INPUT or backbone.seq2seq or not encoded:
        return
    check_prompt(prompt.mode, prompt.values, backbone)

    def positions(example: Encoded) -> int:
        source = sum(map(len, example.pieces))
        return prompt.before + max(example.read + 1, source + more)

    example = max(encoded, key=positions)
    needed = positions(example)
    if not backbone.side(needed) and packs_exactly(backbone, longest=needed - 1):
        return
    turn = backbone.side(needed)
    raise InputError(
        f"mode {prompt.mode!r} needs a model whose attention can be given keys and values, and "
        f"{backbone.name!r} ({backbone.model.config.model_type}) "
        + (
            f"rotates texts of more than {turn} positions otherwise"
            if turn
            else "does not pack them"
        )
        + f"; example {example.id!r} needs {needed} positions\n"
        "Leave out long examples, take mode 'soft', or another model"
    )


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
    beside = backbone.beside(box.tokens, before=len(root))
    logits = backbone.model(**given, **beside, use_cache=False).logits[
        box.line, len(root) + box.read
    ]
    every = torch.arange(len(box.targets))
    return read(logits, every, box.targets, box.line, computed=given["attention_mask"].numel())


def single_losses(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> TokenLosses:
    """The same losses from one plain call an example."""
    root = root_rows(backbone, prompt)
    logits = [plain_logits(backbone, example, root=root) for example in encoded]
    targets = [t for e in encoded for t in (e.target if e.pieces else e.target[1:])]
    owner = torch.repeat_interleave(torch.tensor([len(part) for part in logits]))
    computed = sum(len(root) + example.read for example in encoded)
    every = torch.arange(len(targets))
    return read(torch.cat(logits), every, torch.tensor(targets), owner, computed=computed)
