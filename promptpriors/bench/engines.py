"""Engines that are timed: ours, and PEFT as its users run it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, pad
from promptpriors.prompts import Prompt, token_losses
from promptpriors.prompts.modes import block_of

RATE = 1e-3
"""Learning rate of both engines; speed does not depend on it."""


class Step(NamedTuple):
    """Time, tokens and loss of one update.

    The seconds are of packing or padding, forward, backward and the optimiser's step; the tokens
    those that ran through the network, prompt and padding included; the loss is mean nats per
    target token before the update.
    """

    seconds: float
    examples: int
    tokens: int
    loss: float


@dataclass(frozen=True)
class Engine:
    """Trained weights, their optimiser, and the loss of a batch with its tokens.

    Each weight has the vectors of so many sites side by side.
    """

    weights: Sequence[Tensor]
    optimiser: torch.optim.Optimizer
    forward: Callable[[Sequence[Encoded]], tuple[Tensor, int]]
    sites: int = 1

    def step(self, batch: Sequence[Encoded]) -> Step:
        """Update the prompt on a batch."""
        began = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        mean, tokens = self.forward(batch)
        mean.backward()
        self.optimiser.step()
        loss = float(mean.detach())
        return Step(time.perf_counter() - began, len(batch), tokens, loss)

    def gradient(self, batch: Sequence[Encoded]) -> tuple[float, Tensor]:
        """Compute loss and gradient of a batch, a row a site; nothing is updated."""
        self.optimiser.zero_grad(set_to_none=True)
        mean, _ = self.forward(batch)
        mean.backward()
        found: list[Any] = [weight.grad for weight in self.weights]
        self.optimiser.zero_grad(set_to_none=True)
        rows = [row for part in found for row in part.chunk(self.sites, dim=1)]
        return float(mean.detach()), torch.stack(rows)


def our_engine(backbone: Backbone, prompt: Prompt, rate: float = RATE) -> Engine:
    """Build our engine, on packed rows."""
    weights = list(prompt.parameters())

    def forward(batch: Sequence[Encoded]) -> tuple[Tensor, int]:
        losses = token_losses(backbone, prompt, batch)
        return losses.nats.mean(), losses.computed

    return Engine(weights, torch.optim.AdamW(weights, lr=rate, weight_decay=0.0), forward)


def peft_engine(backbone: Backbone, prompt: Prompt, rate: float = RATE) -> Engine:
    """Build PEFT's PromptTuning or PrefixTuning on padded batches, with our start.

    The base model is the backbone's own; prompt learning adds nothing to its modules.

    Raises:
        InputError: without PEFT, or for a mode that it does not have.
    """
    try:
        import peft
    except ImportError:
        raise InputError("the benchmark needs PEFT: pip install peft") from None
    kinds: dict[str, Any] = {"soft": peft.PromptTuningConfig, "kv": peft.PrefixTuningConfig}
    if prompt.mode not in kinds:
        raise InputError(f"PEFT has no mode {prompt.mode!r}; it has {', '.join(kinds)}")
    config = kinds[prompt.mode](task_type="CAUSAL_LM", num_virtual_tokens=prompt.length)
    model: Any = peft.get_peft_model(backbone.model, config)
    weight = next(p for p in model.parameters() if p.requires_grad)
    values = sorted(prompt.values.items(), key=lambda pair: block_of(pair[0]))
    with torch.no_grad():
        weight.copy_(torch.cat([value for _, value in values], dim=1))
    computed = prompt.length if prompt.mode == "soft" else 0  # a prefix is not computed

    def forward(batch: Sequence[Encoded]) -> tuple[Tensor, int]:
        ids, mask, labels = _labelled(batch)
        out = model(input_ids=ids, attention_mask=mask, labels=labels)
        return out.loss, mask.numel() + len(mask) * computed

    optimiser = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
    return Engine([weight], optimiser, forward, sites=len(values))


def _labelled(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and labels as a collator of PEFT's users makes them: padded on the right.

    The last token of a target is read as well: Hugging Face shifts labels inside the model.
    """
    box = pad([e._replace(target=(*e.target, 0)) for e in batch])
    labels = torch.full_like(box.tokens, -100)
    known = torch.arange(len(box.targets))
    last = torch.cat([box.line[1:] != box.line[:-1], torch.tensor([True])])
    kept = known[~last]  # the added token is no target
    labels[box.line[kept], box.read[kept] + 1] = box.targets[kept]
    return box.tokens, box.mask.long(), labels
