"""The loss of a prompt on examples: answer tokens only, logits at answer positions only."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, encode, pack, packs_exactly, pad, visible
from promptpriors.prompts.modes import MODES
from promptpriors.prompts.prompt import Prompt
from promptpriors.types import Example


class TokenLosses(NamedTuple):
    """What a model says of each target token of a batch.

    Attributes:
        nats: negative log-likelihood of each target token, differentiable.
        correct: whether it was the likeliest token (teacher-forced).
        owner: the example each target token belongs to.
        computed: tokens that ran through the network, prompt and padding included.
    """

    nats: Float[Tensor, " t"]
    correct: Bool[Tensor, " t"]
    owner: Int[Tensor, " t"]
    computed: int


def loss(
    backbone: Backbone, prompt: Prompt | None, examples: Sequence[Example]
) -> Float[Tensor, ""]:
    """Mean nats per target token over all examples, differentiable in the prompt.

    Args:
        backbone: the frozen model.
        prompt: what stands before every example; None for the plain model.
        examples: computed as one batch.

    Raises:
        InputError: without examples, or if one is longer than the model's context.
    """
    if not examples:
        raise InputError("a loss needs at least one example")
    encoded = encode(backbone, examples, before=prompt.before if prompt else 0)
    return token_losses(backbone, prompt, encoded).nats.mean()


def token_losses(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> TokenLosses:
    """Losses of a batch, packed where that is exact and padded where it is not."""
    before = prompt.before if prompt else 0
    longest = before + max(example.read for example in encoded)
    exact = packs_exactly(backbone, longest=longest)
    return (packed_losses if exact else padded_losses)(backbone, prompt, encoded)


def packed_losses(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> TokenLosses:
    """Losses from one packed row in which every node of the tree is computed once."""
    row = pack(encoded)
    root = root_rows(backbone, prompt)
    before = len(root)
    hidden = torch.cat([root, backbone.embed(row.tokens)]).to(backbone.dtype)
    logits = backbone.model(
        inputs_embeds=hidden[None],
        attention_mask=visible(row, before=before)[None, None].to(backbone.device),
        position_ids=torch.cat([torch.arange(before), before + row.positions])[None].to(
            backbone.device
        ),
        use_cache=False,
        logits_to_keep=(before + row.read).to(backbone.device),
    ).logits[0]
    return _read(logits, row.slot, row.targets, row.owner, computed=len(hidden))


def padded_losses(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> TokenLosses:
    """The same losses from a padded rectangle, each line with its own copy of the prompt."""
    box = pad(encoded)
    root = root_rows(backbone, prompt)
    batch, before = len(box.tokens), len(root)
    hidden = torch.cat([root.expand(batch, -1, -1), backbone.embed(box.tokens)], dim=1)
    mask = torch.cat([torch.ones(batch, before, dtype=torch.bool), box.mask], dim=1)
    logits = backbone.model(
        inputs_embeds=hidden.to(backbone.dtype),
        attention_mask=mask.long().to(backbone.device),
        use_cache=False,
    ).logits
    needed = logits[box.line, before + box.read]
    every = torch.arange(len(box.targets))
    return _read(needed, every, box.targets, box.line, computed=mask.numel())


def root_rows(backbone: Backbone, prompt: Prompt | None) -> Float[Tensor, "length dim"]:
    """Input embeddings of the rows that stand before the text.

    Raises:
        InputError: if the prompt wants a first token and the tokenizer has none.
    """
    if prompt is None:
        return MODES["none"].root({}, backbone)
    root = MODES[prompt.mode].root(prompt.values, backbone)
    if not prompt.bos:
        return root
    first = backbone.tokenizer.bos_token_id
    if first is None:
        raise InputError(f"prompt.bos: the tokenizer of model {backbone.name!r} has no first token")
    return torch.cat([backbone.embed(torch.tensor([first])).to(root.dtype), root])


def _read(
    logits: Tensor, slot: Tensor, targets: Tensor, owner: Tensor, computed: int
) -> TokenLosses:
    slot, targets = slot.to(logits.device), targets.to(logits.device)
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    correct = logits.argmax(dim=-1)[slot] == targets
    return TokenLosses(-log_probs[slot, targets], correct, owner, computed)
