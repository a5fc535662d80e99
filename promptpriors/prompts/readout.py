"""Losses of a batch's target tokens, from its logits."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class TokenLosses(NamedTuple):
    """Loss of each target token of a batch, and whether it was the likeliest.

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


def read(
    logits: Float[Tensor, "reads vocab"],
    slot: Int[Tensor, " t"],
    targets: Int[Tensor, " t"],
    owner: Int[Tensor, " t"],
    *,
    computed: int,
) -> TokenLosses:
    """Losses of target tokens, each predicted by row ``slot`` of the logits."""
    slot, targets = slot.to(logits.device), targets.to(logits.device)
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    correct = logits.argmax(dim=-1)[slot] == targets
    return TokenLosses(-log_probs[slot, targets], correct, owner, computed)
